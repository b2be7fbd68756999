"""What the transformer does with a message: map its records, send the rows on."""

import asyncio
from collections import OrderedDict
from datetime import datetime

from services.transformer.engine import Mapped, Mapper, compile_mapping
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import PageFetched, PageTransformed, decode, encode
from shared.messaging.ports import Bus, Message

SLICE = 500
"""Records mapped before other tasks of the process get their turn: about 3 ms, 15 if each of them is wrong."""
MAX_MAPPERS = 128
"""Compiled mappings kept: one per source and entity that is being read."""


class TransformHandler:
    """Maps pages. Stateless but for a bounded cache of compiled mappings, so any page may come to any worker."""

    def __init__(self, bus: Bus, *, max_mappers: int = MAX_MAPPERS) -> None:
        self._bus = bus
        self._max_mappers = max_mappers
        self._mappers: OrderedDict[tuple[Entity, str], Mapper] = OrderedDict()

    async def on_page_fetched(self, message: Message) -> None:
        """Publish the page's PageTransformed to [write]; returns once the broker has it, so the page may be settled.

        Raises PoisonMessageError (not a PageFetched), MappingError (a rule cannot be compiled), BackpressureError and
        PlatformAwayError.
        """
        page = decode(PageFetched, message.body)
        mapper = self._mapper(page.entity, page.mapping)
        mapper.verify(page.records)
        mapped = Mapped(rejects=list(page.rejects))
        for start in range(0, len(page.records), SLICE):
            mapper.map_into(mapped, page.records[start : start + SLICE])
            await asyncio.sleep(0)
        transformed = PageTransformed(
            run_id=page.run_id,
            entity=page.entity,
            page_no=page.page_no,
            batch_no=page.batch_no,
            epoch=page.epoch,
            mapping_version=page.mapping.version,
            read=len(page.records) + len(page.rejects),
            filtered=mapped.filtered,
            max_updated_at=_later(mapped.max_updated_at, page.changed_until),
            rows=mapped.rows,
            rejects=mapped.rejects,
            deletions=page.deletions,
        )
        trace = {name: value for name, value in message.headers.items() if name == "trace"}
        await self._bus.publish("write", Message(PageTransformed.KIND, encode(transformed), trace))

    def _mapper(self, entity: Entity, mapping: EntityMapping) -> Mapper:
        key = (entity, mapping.model_dump_json())
        mapper = self._mappers.get(key)
        if mapper is None:
            mapper = self._mappers[key] = compile_mapping(entity, mapping)
            if len(self._mappers) > self._max_mappers:
                self._mappers.popitem(last=False)
        else:
            self._mappers.move_to_end(key)
        return mapper


def _later(newest: datetime | None, until: datetime | None) -> datetime | None:
    return max((moment for moment in (newest, until) if moment is not None), default=None)
