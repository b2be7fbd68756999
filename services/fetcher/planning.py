"""On RunRequested: start the run, freeze what it reads with, and send each entity's first page on its way."""

from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from services.fetcher.opening import SourceOpener
from shared.clock import Clock
from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.contracts.messages import FetchPage, RunChanged, RunRequested, decode, encode
from shared.errors import ConfigurationError, MappingError, PoisonMessageError
from shared.messaging.ports import Bus, Message
from shared.storage import runs, webhooks
from shared.storage.database import Connection, Database
from shared.storage.rows import RunHead

_log = structlog.get_logger()
_mappings = TypeAdapter(FieldMappings)


class PlanHandler:
    """Starts runs. A second message about a running run only repeats what may have been lost."""

    def __init__(self, db: Database, bus: Bus, opener: SourceOpener, clock: Clock) -> None:
        self._db = db
        self._bus = bus
        self._opener = opener
        self._clock = clock

    async def on_run_requested(self, message: Message) -> None:
        """Raises ConfigurationError or MappingError (the run fails), PoisonMessageError for a run nobody knows."""
        request = decode(RunRequested, message.body)
        async with self._db.for_run(request.run_id) as (conn, head):
            if head is None:
                raise PoisonMessageError("no such run")
            first_pages = await self._start(conn, head)
        for page in first_pages:
            await self._bus.publish("fetch", Message(FetchPage.KIND, encode(page)))
        if first_pages:
            await self._bus.announce(Message(RunChanged.KIND, encode(RunChanged(run_id=request.run_id))))

    async def _start(self, conn: Connection, head: RunHead) -> list[FetchPage]:
        if head.status not in ("queued", "running"):
            return []
        source = await runs.source_for_plan(conn, head.source_id)
        if source is None or source.is_deleted:
            raise ConfigurationError("the source was deleted")
        queued = await runs.lock_queued(conn, head.id)
        if queued is not None:
            if await runs.another_is_running(conn, head.source_id, head.id):
                return []  # its end sends this message again
            await self._plan(conn, queued, source)
        return [
            FetchPage(run_id=head.id, entity=plan.entity, page_no=1)
            for plan in await runs.running_entities(conn, head.id)
        ]

    async def _plan(self, conn: Connection, head: RunHead, source: runs.PlanSource) -> None:
        spec = self._opener.connector(source.source_type).spec
        described = self._opener.unconnected(source.source_type, source.config)
        rules = _rules(source.field_mappings)
        offered, sweeps = spec.entities(source.config), self._sweeps(spec, source)
        mappings: dict[Entity, EntityMapping] = {}
        plans: list[runs.EntityPlan] = []
        entities = await runs.entities_of(conn, head.id)
        # A dry run writes nothing, so the events wait for one that does.
        claims = {} if head.dry_run else await webhooks.claim_changes(conn, head.source_id, head.id, entities)
        for entity in entities:
            if entity not in offered:
                raise ConfigurationError(f"the source has no {entity}", hint="Add it to the source's config.")
            mapping = spec.mapping(source.config, entity, rules)
            mappings[entity] = mapping.model_copy(update={"version": source.mapping_version})
            cursor = source.cursors.get(entity)
            claim = claims.get(entity)
            by_id = entity not in sweeps and await self._targeted(conn, head, source, entity)
            targets = claim.ids if claim is not None and by_id else None
            incremental = (
                targets is None
                and head.mode == "incremental"
                and cursor is not None
                and spec.supports_incremental(source.config, entity)
                and entity not in sweeps
                # What is gone does not show among the changes: only a read of all tells.
                and not (claim is not None and claim.deletes)
            )
            plans.append(
                runs.EntityPlan(
                    entity=entity,
                    mode="full" if targets is None and not incremental else "incremental",
                    since=cursor["changed_until"] - spec.sync_rules.overlap if incremental and cursor else None,
                    stable_paging=described.stable_paging(entity),
                    targets=targets,
                    targets_deleted=claim.deleted if claim is not None and targets is not None else (),
                )
            )
        swept = {entity: sweeps[entity] for entity in entities if entity in sweeps}
        if swept and head.mode == "incremental":
            _log.info("entities are read in full", reasons=swept)
        # Of a run that is a sweep as a whole, its mode says so; of one that is partly, the modes of its entities.
        full = head.mode == "full" or bool(swept and all(plan.mode == "full" for plan in plans))
        await runs.start_run(
            conn, head.id, head.source_id, "full" if full else "incremental", source.config, mappings, tuple(plans)
        )

    def _sweeps(self, spec: ConnectorSpec, source: runs.PlanSource) -> dict[Entity, str]:
        """Entities that must be read in full now, and why. One that was never read is so in any case."""
        found: dict[Entity, str] = {}
        for entity, cursor in source.cursors.items():
            reason = spec.sync_rules.sweep_reason(
                every=source.full_sync_every,
                read_at=cursor["read_at"] or cursor["changed_until"],
                last_full_at=cursor["last_full_at"],
                now=self._clock.now(),
            )
            if reason is not None:
                found[entity] = reason
        return found

    async def _targeted(self, conn: Connection, head: RunHead, source: runs.PlanSource, entity: Entity) -> bool:
        """Whether single ids may be read instead of the entity, whose first read is of all."""
        spec = self._opener.connector(source.source_type).spec
        if not head.targeted or not spec.supports_by_id(source.config, entity):
            return False
        if spec.supports_incremental(source.config, entity):
            return entity in source.cursors
        return await runs.was_read(conn, head.source_id, entity)


def _rules(field_mappings: dict[str, Any]) -> FieldMappings:
    try:
        return _mappings.validate_python(field_mappings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise MappingError(f"field_mappings: {place}: {first['msg']}", hint="Correct the source's mapping.") from None
