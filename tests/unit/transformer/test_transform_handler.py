"""A page in, a page out, over the real bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from services.transformer.handlers import SLICE, TransformHandler
from shared.contracts.ids import RunId
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import PageFetched, PageTransformed, decode, encode
from shared.errors import MappingError, PoisonMessageError
from shared.messaging.ports import Message


@dataclass
class Outbox:
    """The one method of a bus that the handler uses."""

    sent: list[tuple[str, Message]] = field(default_factory=list)

    async def publish(self, queue: str, message: Message, *, delay: float = 0) -> None:
        assert delay == 0
        self.sent.append((queue, message))


def page(records: Sequence[Any], fields: Any, **mapping: Any) -> Message:
    mapped = EntityMapping.model_validate({"id_path": "id", "version": 3, "fields": fields, **mapping})
    message = PageFetched(
        run_id=RunId(uuid4()), entity="inventory", page_no=2, batch_no=4, epoch=5, mapping=mapped, records=list(records)
    )
    return Message(PageFetched.KIND, encode(message), {"trace": "t-1", "attempt_transient": 2})


def handler(outbox: Outbox, **options: Any) -> TransformHandler:
    return TransformHandler(outbox, **options)  # type: ignore[arg-type] # the other methods of a bus are not called


async def test_a_page_is_mapped_and_sent_on() -> None:
    outbox = Outbox()
    records: list[Any] = [{"id": n, "code": f"c{n}", "cost": Decimal("0.10")} for n in range(2 * SLICE + 1)]
    records[7]["cost"] = "?"
    fields = {"sku": "code", "unit_cost": {"path": "cost", "default": Decimal("1.50")}}
    await handler(outbox).on_page_fetched(page(records, fields, filter="id != `3`", updated_at_path="at"))
    ((queue, message),) = outbox.sent
    assert (queue, message.kind, dict(message.headers)) == ("write", "page.transformed", {"trace": "t-1"})
    sent = decode(PageTransformed, message.body)
    assert (sent.page_no, sent.batch_no, sent.epoch, sent.mapping_version) == (2, 4, 5, 3)
    assert (sent.read, sent.filtered, len(sent.rejects), len(sent.rows)) == (1001, 1, 1, 999)
    assert sent.max_updated_at is None
    external_id, cells, extra, lines = sent.rows[-1]
    assert (external_id, cells[0], cells[10], extra, lines) == ("1000", "c1000", "0.10", "{}", None)
    assert sent.rejects[0].external_id == "7"


async def test_an_empty_page_is_sent_too() -> None:
    outbox = Outbox()
    await handler(outbox).on_page_fetched(page([], None))
    assert decode(PageTransformed, outbox.sent[0][1].body).read == 0


async def test_a_bad_mapping_and_a_bad_message_send_nothing() -> None:
    outbox = Outbox()
    with pytest.raises(MappingError):
        await handler(outbox).on_page_fetched(page([{"id": 1}], {"sku": "sum("}))
    with pytest.raises(PoisonMessageError):
        await handler(outbox).on_page_fetched(Message(PageFetched.KIND, b"{}"))
    assert outbox.sent == []


async def test_mappings_are_compiled_once_and_kept_within_bounds() -> None:
    transform = handler(Outbox(), max_mappers=2)
    for name in ("a", "b", "a", "c", "a"):
        await transform.on_page_fetched(page([], {"sku": name}))
    kept = [key for _, key in transform._mappers]
    assert len(kept) == 2
    assert [key.count('"path":"a"') for key in kept] == [0, 1]
    before = list(transform._mappers.values())
    await transform.on_page_fetched(page([], {"sku": "a"}))
    assert list(transform._mappers.values()) == before
