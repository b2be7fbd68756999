"""Webhooks name what changed: these records are read one by one, and nothing else is touched."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import pytest
from test_json_api_run import MAPPING
from webhook_events import keep_events

from pipeline import Pipeline, eventually
from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.contracts.ids import RunId, SourceId
from shared.contracts.messages import FetchPage, RunRequested, encode
from shared.messaging.ports import Message
from shared.runtime.dispatch import dispatch
from shared.storage.run_views import RunView
from shared.storage.runs import RunAsk, request_run
from shared.storage.webhooks import Change

Op = Literal["upsert", "delete"]


class Shop:
    """A shop whose products a source reads, and the webhooks about it."""

    def __init__(self, pipeline: Pipeline, state: JsonApiState, url: str) -> None:
        self.pipeline = pipeline
        self.state = state
        self.url = url

    async def add(self, *, by_id: bool = True, incremental: bool = True, read: bool = True, **columns: Any) -> SourceId:
        """A source that has been read once (or not), with the requests of that read forgotten."""
        entity: dict[str, Any] = {
            "url": f"{self.url}/products",
            "id_path": "productID",
            "filter": "productName != 'hidden'",
        }
        if by_id:
            entity["by_id_url"] = f"{self.url}/products/{{id}}"
        if incremental:
            entity |= {"updated_at_path": "updatedAt", "updated_since_param": "updated_since"}
        source = await self.pipeline.add_source({"entities": {"inventory": entity}}, field_mappings=MAPPING, **columns)
        if read:
            assert (await self.pipeline.sync(source)).status == "succeeded"
        self.state.behaviour.log.clear()
        return source

    async def events(self, source: SourceId, *ids: str | None, op: Op = "upsert") -> None:
        """Events come in, as the gateway keeps them."""
        changes = [Change("inventory", one, op) for one in ids]
        await keep_events(self.pipeline.databases["gateway"], source, self.pipeline.user_id, changes)

    async def ask(self, source: SourceId, trigger: Literal["webhook", "schedule"] = "webhook") -> Sequence[int]:
        """A run is asked for, as gateway and scheduler do it, but not sent; the outbox ids."""
        ask = RunAsk(source, self.pipeline.user_id, "json_api", ("inventory",), trigger, targeted=trigger == "webhook")
        async with self.pipeline.databases["gateway"].for_tenant(self.pipeline.user_id) as conn:
            return (await request_run(conn, ask, merge=True)).outbox_ids

    async def serve(self, source: SourceId, *ids: str | None, op: Op = "upsert") -> RunView:
        """Events, their run, and its end."""
        await self.events(source, *ids, op=op)
        return await self.send(source, await self.ask(source))

    async def send(self, source: SourceId, outbox_ids: Sequence[int]) -> RunView:
        run_id: RunId = await self.pipeline.admin.fetchval(
            "select id from sync_runs where source_id = $1 order by requested_at desc limit 1", source
        )
        await dispatch(self.pipeline.databases["gateway"], self.pipeline.bus, outbox_ids)
        return await self.pipeline.finish(run_id)

    def calls(self) -> list[str]:
        """The paths that were asked for, as they were sent."""
        return [arrival.path.partition("?")[0] for arrival in self.state.arrivals]

    async def cursor(self, source: SourceId) -> Any:
        return await self.pipeline.admin.fetch("select * from sync_cursors where source_id = $1", source)

    async def rows(self, source: SourceId, *, deleted: bool = False) -> dict[str, dict[str, Any]]:
        return {row["external_id"]: row for row in await self.pipeline.rows("inventory", source, deleted=deleted)}


@pytest.fixture
async def shop(pipeline: Pipeline) -> AsyncIterator[Shop]:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as url:
        yield Shop(pipeline, state, url)


@pytest.mark.parametrize("incremental", [True, False])
async def test_one_event_is_one_call_for_that_record_alone(shop: Shop, incremental: bool) -> None:
    source = await shop.add(incremental=incremental, sync_frequency="realtime")
    before, cursor = await shop.rows(source), await shop.cursor(source)
    shop.state.edit("products", 7, unitsInStock=4711)
    shop.state.edit("products", 8, unitsInStock=4712)

    view = await shop.serve(source, "7", "7")

    assert (view.status, view.trigger) == ("succeeded", "webhook"), view
    assert shop.calls() == ["/products/7"]
    assert (view.entities["inventory"].read, view.entities["inventory"].updated, view.api_calls) == (1, 1, 1)
    rows = await shop.rows(source)
    assert rows.pop("7")["quantity_on_hand"] == 4711
    before.pop("7")
    assert rows == before, "another record was touched"
    assert await shop.cursor(source) == cursor
    if incremental:
        assert (await shop.pipeline.sync(source)).entities["inventory"].updated == 1, "the change nobody told of"


async def test_what_was_called_deleted_and_is_not_there_is_deleted_and_counted_so(shop: Shop) -> None:
    source = await shop.add()
    shop.state.remove("products", 7)
    shop.state.edit("products", 9, productName="hidden")
    await shop.events(source, "7", op="delete")

    view = await shop.serve(source, "7", "8", "9", "no/such?id")

    assert view.status == "succeeded", view
    found = view.entities["inventory"]
    assert (found.read, found.unchanged, found.filtered, found.deleted, found.pages) == (2, 1, 1, 1, 4)
    assert found.missing == 1, "an id that was never known"
    assert shop.calls() == ["/products/7", "/products/8", "/products/9", "/products/no%2Fsuch%3Fid"]
    assert set(await shop.rows(source, deleted=True)) - set(await shop.rows(source)) == {"7"}


async def test_what_was_called_changed_and_is_not_there_is_doubt_that_a_sweep_decides(shop: Shop) -> None:
    source = await shop.add()
    before = await shop.rows(source)
    shop.state.remove("products", 7)

    view = await shop.serve(source, "7", "8")

    assert (view.status, view.error) == ("succeeded", None)
    found = view.entities["inventory"]
    assert (found.read, found.deleted, found.missing) == (1, 0, 1)
    assert await shop.rows(source) == before
    sweep = await shop.pipeline.sync(source, mode="full")
    assert (sweep.entities["inventory"].deleted, sweep.entities["inventory"].missing) == (1, 0)


async def test_an_address_that_is_wrong_deletes_no_row_that_changed(shop: Shop) -> None:
    source = await shop.add()
    await shop.pipeline.admin.execute(
        "update external_data_sources set config = replace(config::text, '/products/{id}', '/prodcuts/{id}')::jsonb"
    )
    await shop.pipeline.admin.execute("update sync_cursors set read_at = now()")  # known under the new config too

    view = await shop.serve(source, *map(str, range(1, 51)))

    assert (view.status, view.entities["inventory"].missing) == ("succeeded", 50)
    assert shop.calls()[0] == "/prodcuts/1"
    assert len(await shop.rows(source)) == 77


async def test_a_read_that_finds_none_of_them_is_a_success(shop: Shop) -> None:
    source = await shop.add()
    shop.state.remove("products", 7)
    view = await shop.serve(source, "7", op="delete")
    assert (view.status, view.entities["inventory"].read, view.entities["inventory"].deleted) == ("succeeded", 0, 1)
    assert "7" not in await shop.rows(source)


async def test_a_deletion_that_the_vendor_knows_nothing_of_is_a_change(shop: Shop) -> None:
    source = await shop.add()
    shop.state.edit("products", 7, unitsInStock=4711)
    view = await shop.serve(source, "7", op="delete")
    assert (view.entities["inventory"].updated, view.entities["inventory"].deleted) == (1, 0)
    assert (await shop.rows(source))["7"]["quantity_on_hand"] == 4711


@pytest.mark.parametrize(
    "ids", [tuple(str(number) for number in range(1, 202)), (None,), ("7", None)], ids=["many", "none", "some"]
)
async def test_what_cannot_be_read_by_id_is_an_incremental_run(shop: Shop, ids: tuple[str | None, ...]) -> None:
    source = await shop.add()
    cursor = await shop.cursor(source)
    shop.state.edit("products", 7, unitsInStock=4711)
    view = await shop.serve(source, *ids)
    assert (view.status, view.entities["inventory"].updated) == ("succeeded", 1)
    assert view.entities["inventory"].read < 77, "a full read"
    assert shop.calls() == ["/products"]
    assert await shop.cursor(source) != cursor


async def test_two_hundred_ids_are_read_each(shop: Shop) -> None:
    source = await shop.add()
    view = await shop.serve(source, *map(str, range(1, 201)))
    assert (view.status, view.entities["inventory"].read, view.entities["inventory"].pages) == ("succeeded", 77, 200)


async def test_a_source_without_by_id_sees_deletions_by_a_full_read(shop: Shop) -> None:
    source = await shop.add(by_id=False)
    shop.state.remove("products", 7)
    assert (await shop.serve(source, "7")).entities["inventory"].deleted == 0
    view = await shop.serve(source, "7", op="delete")
    assert (view.entities["inventory"].read, view.entities["inventory"].deleted) == (76, 1)
    assert shop.calls() == ["/products"] * 2


@pytest.mark.parametrize("incremental", [True, False])
async def test_the_first_read_is_of_all(shop: Shop, incremental: bool) -> None:
    source = await shop.add(incremental=incremental, read=False)
    view = await shop.serve(source, "7")
    assert (view.entities["inventory"].read, shop.calls()) == (77, ["/products"])


@pytest.mark.parametrize("first", ["webhook", "schedule"])
async def test_with_any_other_ask_the_run_is_whole(shop: Shop, first: Literal["webhook", "schedule"]) -> None:
    source = await shop.add()
    shop.state.edit("products", 7, unitsInStock=4711)
    shop.state.edit("products", 8, unitsInStock=4712)
    await shop.events(source, "7")
    outbox_ids = await shop.ask(source, first)
    assert await shop.ask(source, "schedule" if first == "webhook" else "webhook") == ()
    assert await shop.ask(source, "webhook") == ()

    view = await shop.send(source, outbox_ids)

    assert (view.entities["inventory"].updated, shop.calls()) == (2, ["/products"])


async def test_the_scheduler_asks_for_no_more_either(shop: Shop) -> None:
    source = await shop.add()
    await shop.events(source, "7")
    await shop.pipeline.admin.execute("update webhook_events set received_at = received_at - interval '1 minute'")
    runs = "select id from sync_runs where source_id = $1 and trigger = 'webhook'"
    run_id = await eventually(lambda: shop.pipeline.admin.fetchval(runs, source), bool, within=10)
    assert (await shop.pipeline.finish(run_id)).status == "succeeded"
    assert shop.calls() == ["/products/7"]


async def test_a_sweep_that_is_due_is_not_put_off(shop: Shop) -> None:
    source = await shop.add(full_sync_every="1d")
    await shop.pipeline.admin.execute("update sync_cursors set last_full_at = last_full_at - interval '2 days'")
    assert (await shop.serve(source, "7")).entities["inventory"].read == 77


async def test_a_dry_run_leaves_events_to_one_that_writes(shop: Shop) -> None:
    source = await shop.add()
    shop.state.edit("products", 7, unitsInStock=4711)
    await shop.events(source, "7")
    await shop.pipeline.sync(source, dry_run=True)
    view = await shop.send(source, await shop.ask(source))
    assert view.entities["inventory"].updated == 1
    assert shop.calls()[-1] == "/products/7"


async def test_events_of_a_run_that_failed_are_served_by_the_next(shop: Shop) -> None:
    source = await shop.add()
    shop.state.edit("products", 7, unitsInStock=4711)
    shop.state.remove("products", 8)
    shop.state.behaviour.faults.set(FaultRule(kind="status", status=400, path="/products/7"))
    await shop.events(source, "8", op="delete")
    assert (await shop.serve(source, "7")).status == "failed"

    view = await shop.serve(source, "9")

    assert view.status == "succeeded"
    assert shop.calls() == ["/products/7", "/products"], "what failed by id is read with all others"
    assert (await shop.rows(source))["7"]["quantity_on_hand"] == 4711
    assert "8" not in await shop.rows(source)
    shop.state.behaviour.log.clear()
    assert (await shop.serve(source, "9")).status == "succeeded"
    assert shop.calls() == ["/products/9"], "they are served once"


async def test_messages_that_come_twice_change_nothing(shop: Shop) -> None:
    source = await shop.add()
    view = await shop.serve(source, "7", "8", "9")
    await shop.pipeline.bus.publish("requests", Message(RunRequested.KIND, encode(RunRequested(run_id=view.id))))
    for number, cursor in enumerate((None, 1, 2), start=1):
        page = FetchPage(run_id=view.id, entity="inventory", page_no=number, cursor=cursor)
        await shop.pipeline.bus.publish("fetch", Message(FetchPage.KIND, encode(page)))
    again = await shop.serve(source, "10")
    assert again.status == "succeeded"
    assert shop.calls() == ["/products/7", "/products/8", "/products/9", "/products/10"]
    assert await eventually(lambda: shop.pipeline.view(view.id), lambda seen: seen == view, within=5)
