"""Messages that nobody can handle: a dead letter with the reason, no run, no row touched."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from pipeline import Pipeline, eventually
from sandboxes.files.app import build_app
from sandboxes.files.state import FilesState
from sandboxes.serving import running
from shared.contracts.ids import SourceId
from shared.messaging.ports import Message
from shared.messaging.topology import QueueName

MAPPING = {"inventory": {"sku": "productID", "name": "productName", "quantity_on_hand": "unitsInStock"}}


@dataclass
class Shop:
    """A source that has been read once, and a stranger's source."""

    pipeline: Pipeline
    files: FilesState
    source: SourceId
    foreign: SourceId
    foreign_run: str
    rows: list[dict[str, Any]]


@pytest.fixture
async def shop(pipeline: Pipeline) -> AsyncIterator[Shop]:
    files = FilesState.northwind()
    async with running(build_app(files)) as base:
        config = {"entities": {"inventory": {"url": f"{base}/products.csv", "id_column": "productID"}}}
        more: dict[str, Any] = {"source_type": "csv_api", "field_mappings": MAPPING}
        source = await pipeline.add_source(config, **more)
        assert (await pipeline.sync(source)).status == "succeeded"
        foreign = await pipeline.add_source(config, user_id=uuid4(), **more)
        foreign_run = await pipeline.sync(foreign)
        files.behaviour.log.clear()
        yield Shop(pipeline, files, source, foreign, str(foreign_run.id), await pipeline.rows("inventory"))


def request(shop: Shop, **changes: Any) -> bytes:
    """A public request in good order, but for `changes`."""
    good = {
        "version": 1,
        "source_id": str(shop.source),
        "user_id": str(shop.pipeline.user_id),
        "trigger": "external",
        "requested_at": "2026-11-22T10:00:00Z",
    }
    return json.dumps(good | changes).encode()


async def dead_letter(shop: Shop, queue: QueueName, message: Message) -> dict[str, Any]:
    """The letter that this message becomes; nothing else may change."""
    await shop.pipeline.bus.publish(queue, message)
    letter: dict[str, Any] = await eventually(
        lambda: shop.pipeline.admin.fetchrow("select * from dead_letters"), bool, within=20
    )
    assert bytes(letter["body"]) == message.body
    assert await shop.pipeline.admin.fetchval("select count(*) from sync_runs") == 2
    assert await shop.pipeline.rows("inventory") == shop.rows
    assert shop.files.arrivals == []
    return dict(letter)


WRONG: list[tuple[str, dict[str, Any] | bytes, str]] = [
    ("no JSON", b'{"version":1,', "not JSON"),
    ("no object", b"[]", "sync.requested"),
    ("nothing", b"", "not JSON"),
    ("deep nesting", b"[" * 100_000, "not JSON"),
    ("unknown source", {"source_id": str(uuid4())}, "no such source for this user"),
    ("unknown user", {"user_id": str(uuid4())}, "no such source for this user"),
    ("no id", {"source_id": "one"}, "source_id"),
    ("unknown version", {"version": 2}, "version"),
    ("unknown field", {"credentials": "s3cr3t-canary"}, "credentials"),
    ("unknown entity", {"entities": ["customers"]}, "entities"),
    ("entity that the source has not", {"entities": ["vendors"]}, "this source has no vendors"),
    ("no entity", {"entities": []}, "entities"),
    ("unknown mode", {"mode": "everything"}, "mode"),
    ("trigger of ours", {"trigger": "manual"}, "trigger"),
    ("time without a zone", {"requested_at": "2026-11-22T10:00:00"}, "requested_at"),
]


@pytest.mark.parametrize(("body", "says"), [wrong[1:] for wrong in WRONG], ids=[wrong[0] for wrong in WRONG])
async def test_a_wrong_public_request_is_a_dead_letter(shop: Shop, body: dict[str, Any] | bytes, says: str) -> None:
    data = request(shop, **body) if isinstance(body, dict) else body

    letter = await dead_letter(shop, "public", Message("sync.requested", data))

    assert says in letter["reason"]
    assert "s3cr3t-canary" not in letter["reason"]
    assert (letter["queue"], letter["run_id"]) == ("public", None)


async def test_requests_for_what_is_somebody_elses_are_dead_letters(shop: Shop) -> None:
    for changes in ({"source_id": str(shop.foreign)}, {"run_id": shop.foreign_run}):
        await shop.pipeline.admin.execute("delete from dead_letters")
        letter = await dead_letter(shop, "public", Message("sync.requested", request(shop, **changes)))
        assert letter["user_id"] is None


@pytest.mark.parametrize(
    ("queue", "kind"),
    [
        ("requests", "run.requested"),
        ("fetch", "page.fetch"),
        ("transform", "page.fetched"),
        ("write", "page.transformed"),
    ],
)
async def test_a_malformed_message_inside_is_a_dead_letter(shop: Shop, queue: QueueName, kind: str) -> None:
    letter = await dead_letter(shop, queue, Message(kind, b'{"run_id": "none"}'))
    assert (letter["queue"], letter["kind"], letter["category"]) == (queue, kind, "INTERNAL_ERROR")


async def test_a_page_of_an_unknown_run_is_a_dead_letter(shop: Shop) -> None:
    page = {"run_id": str(uuid4()), "entity": "inventory", "page_no": 1}
    letter = await dead_letter(shop, "fetch", Message("page.fetch", json.dumps(page).encode()))
    assert "no such run" in letter["reason"]


@pytest.mark.parametrize("change", ["paused_at = now()", "sync_enabled = false"])
async def test_a_source_that_rests_is_not_woken_from_outside(shop: Shop, change: str) -> None:
    await shop.pipeline.admin.execute(f"update external_data_sources set {change} where id = $1", shop.source)

    letter = await dead_letter(shop, "public", Message("sync.requested", request(shop)))

    assert "paused or not enabled" in letter["reason"]
