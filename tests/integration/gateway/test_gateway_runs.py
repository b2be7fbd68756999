"""Runs: asking, following, cancelling, repeating."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from gateway_harness import TWO_ENTITIES, Gateway, User, running_gateway, token

from shared.contracts.ids import RunId
from shared.contracts.messages import RunChanged, RunRequested, decode, encode
from shared.messaging.ports import Message


async def start(user: User, **members: Any) -> tuple[dict[str, Any], str]:
    """A source and the run that was asked of it."""
    source = await user.add_source(**members)
    answer = await user.post(f"/api/sources/{source['id']}/sync")
    assert answer.status == 202
    return source, answer.body["run_id"]


async def end(gateway: Gateway, run_id: str, status: str, **entities: str) -> None:
    """What the workers would write."""
    await gateway.admin.execute(
        "update sync_runs set status = 'running', started_at = now() where id = $1", UUID(run_id)
    )
    for entity, state in entities.items():
        await gateway.admin.execute(
            "update sync_run_entities set status = $3, read = 1, finished_at = now() where run_id = $1 and entity = $2",
            UUID(run_id), entity, state,
        )  # fmt: skip
    await gateway.admin.execute(
        "update sync_runs set status = $2, finished_at = now() where id = $1", UUID(run_id), status
    )


async def test_a_sync_is_accepted_and_on_its_way(gateway: Gateway, user: User) -> None:
    source = await user.add_source(config=TWO_ENTITIES)
    async with gateway.bus.subscribe("requests", prefetch=1) as subscription, asyncio.timeout(5):
        answer = await user.post(f"/api/sources/{source['id']}/sync", {"entities": ["vendors"], "mode": "full"})
        assert answer.status == 202
        run_id = answer.body["run_id"]
        assert (answer.headers["location"], answer.body) == (f"/api/runs/{run_id}", {"run_id": run_id})
        delivery = await anext(aiter(subscription))
        assert decode(RunRequested, delivery.message.body).run_id == UUID(run_id)
        await delivery.ack()
    assert await gateway.admin.fetchval("select count(*) from outbox") == 0
    run = (await user.get(f"/api/runs/{run_id}")).body
    assert (run["source_id"], run["source_type"], run["trigger"]) == (source["id"], "json_api", "manual")
    assert (run["status"], run["mode"], list(run["entities"])) == ("queued", "full", ["vendors"])
    assert run["error"] is None


async def test_a_broker_that_is_away_only_delays(gateway: Gateway, user: User) -> None:
    gateway.bus.faults.away = True
    _, run_id = await start(user)
    assert (await user.get(f"/api/runs/{run_id}")).body["status"] == "queued"
    assert await gateway.admin.fetchval("select count(*) from outbox") == 1


async def test_an_active_run_is_in_the_way_and_named(user: User) -> None:
    source, run_id = await start(user)
    again = await user.post(f"/api/sources/{source['id']}/sync", {})
    assert (again.status, again.body["run_id"]) == (409, run_id)
    assert again.headers["content-type"] == "application/problem+json"
    assert run_id in again.body["detail"]


async def test_what_cannot_be_synced_is_refused(user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}/sync"
    for body, pointer in [
        ({"entities": ["vendors"]}, "/entities"),
        ({"entities": []}, "/entities"),
        ({"entities": ["things"]}, "/entities/0"),
        ({"mode": "some"}, "/mode"),
        ({"unknown": 1}, "/unknown"),
    ]:
        answer = await user.post(path, body)
        assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, pointer)
    assert (await user.get("/api/runs")).body["items"] == []


async def test_a_repeated_key_names_the_same_run(user: User) -> None:
    source = await user.add_source()
    path = f"/api/sources/{source['id']}/sync"
    answers = await asyncio.gather(*(user.post(path, {}, Idempotency_Key="k1") for _ in range(3)))
    assert [answer.status for answer in answers] == [202] * 3
    assert len({answer.body["run_id"] for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert (await user.post(path, {"mode": "full"}, Idempotency_Key="k1")).status == 422


async def test_an_outside_request_starts_all_enabled_sources(user: User, stranger: User) -> None:
    first, second, off = [await user.add_source(sync_enabled=enabled) for enabled in (True, True, False)]
    await stranger.add_source()
    runs = (await user.post("/api/external/sync")).body["runs"]
    assert {run["source_id"] for run in runs} == {first["id"], second["id"]}
    again = await user.post("/api/external/sync", {"source_ids": [second["id"]]})
    assert (again.status, again.body["runs"]) == (202, [run for run in runs if run["source_id"] == second["id"]])
    shown = (await user.get(f"/api/runs?source_id={first['id']}")).body["items"]
    assert [run["trigger"] for run in shown] == ["external"]
    assert (await user.post("/api/external/sync", {"source_ids": [off["id"]]})).status == 422


async def test_runs_of_another_user_do_not_exist(user: User, stranger: User) -> None:
    source, run_id = await start(user)
    for method, tail in [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")]:
        assert (await stranger.call(method, f"/api/runs/{run_id}{tail}")).status == 404, tail
        assert (await user.call(method, f"/api/runs/{uuid4()}{tail}")).status == 404, tail
    assert (await stranger.get("/api/runs")).body["items"] == []
    assert (await stranger.get(f"/api/runs?source_id={source['id']}")).body["items"] == []


async def test_runs_are_listed_newest_first_page_by_page(user: User) -> None:
    source = await user.add_source()
    made = []
    for _ in range(5):
        made.append((await user.post(f"/api/sources/{source['id']}/sync")).body["run_id"])
        await user.post(f"/api/runs/{made[-1]}/cancel")
    first = (await user.get("/api/runs?limit=2")).body
    second = (await user.get(f"/api/runs?limit=2&cursor={first['next_cursor']}")).body
    third = (await user.get(f"/api/runs?limit=2&cursor={second['next_cursor']}")).body
    assert third["next_cursor"] is None
    seen = [run["id"] for each in (first, second, third) for run in each["items"]]
    assert seen == made[::-1]


async def test_cancel(gateway: Gateway, user: User) -> None:
    source, run_id = await start(user)
    answer = await user.post(f"/api/runs/{run_id}/cancel")
    assert (answer.status, answer.body["status"]) == (200, "cancelled")
    assert answer.body["entities"]["inventory"]["status"] == "cancelled"
    assert (await user.post(f"/api/runs/{run_id}/cancel")).status == 200
    other = (await user.post(f"/api/sources/{source['id']}/sync")).body["run_id"]
    await end(gateway, other, "succeeded", inventory="succeeded")
    assert (await user.post(f"/api/runs/{other}/cancel")).status == 409


async def test_retry_repeats_all_or_what_failed(gateway: Gateway, user: User) -> None:
    source = await user.add_source(config=TWO_ENTITIES)
    asked = {"mode": "full", "force": True}
    run_id = (await user.post(f"/api/sources/{source['id']}/sync", asked)).body["run_id"]
    assert (await user.post(f"/api/runs/{run_id}/retry")).body["run_id"] == run_id  # a 409: it has not ended
    await end(gateway, run_id, "partial", inventory="succeeded", vendors="failed")
    answer = await user.post(f"/api/runs/{run_id}/retry", {"failed_only": True}, Idempotency_Key="again")
    assert answer.status == 202
    assert (
        await user.post(f"/api/runs/{run_id}/retry", {"failed_only": True}, Idempotency_Key="again")
    ).body == answer.body
    again = (await user.get(answer.headers["location"])).body
    assert (again["trigger"], again["mode"], list(again["entities"])) == ("retry", "full", ["vendors"])
    assert await gateway.admin.fetchval("select force from sync_runs where id = $1", UUID(again["id"]))
    await end(gateway, again["id"], "succeeded", vendors="succeeded")
    assert (await user.post(f"/api/runs/{again['id']}/retry", {"failed_only": True})).status == 422
    third = (await user.post(f"/api/runs/{run_id}/retry")).body["run_id"]
    assert list((await user.get(f"/api/runs/{third}")).body["entities"]) == ["inventory", "vendors"]


class Stream:
    """Server-sent events as they come."""

    def __init__(self, user: User, run_id: str, **claims: Any) -> None:
        self._connection = user.gateway.connect()
        authorization = f"Bearer {token(user.id, **claims)}"
        self._connection.request("GET", f"/api/runs/{run_id}/events", headers={"Authorization": authorization})
        self.response = self._connection.getresponse()
        self._events = self._read()

    def _read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        kind = ""
        for line in self.response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        return await asyncio.to_thread(next, self._events, None)

    def close(self) -> None:
        self.response.close()
        self._connection.close()


async def test_events_follow_a_run_to_its_end(gateway: Gateway, user: User) -> None:
    _, run_id = await start(user)
    changed = Message(RunChanged.KIND, encode(RunChanged(run_id=RunId(UUID(run_id)))))
    stream = await asyncio.to_thread(Stream, user, run_id)
    try:
        async with asyncio.timeout(10):
            assert stream.response.getheader("content-type", "").startswith("text/event-stream")
            kind, run = await stream.next() or ("", {})
            assert (kind, run["status"]) == ("snapshot", "queued")
            await gateway.admin.execute("update sync_runs set status = 'running', started_at = now()")
            await gateway.bus.announce(changed)
            kind, run = await stream.next() or ("", {})
            assert (kind, run["status"]) == ("state", "running")
            await gateway.admin.execute("update sync_run_entities set api_calls = 3")
            await gateway.bus.announce(changed)
            kind, run = await stream.next() or ("", {})
            assert (kind, run["api_calls"]) == ("progress", 3)
            await user.post(f"/api/runs/{run_id}/cancel")
            assert [(await stream.next() or ("",))[0] for _ in range(3)] == ["state", "finish", ""]
    finally:
        stream.close()


async def test_events_come_without_announcements_too(gateway: Gateway, user: User) -> None:
    _, run_id = await start(user)
    stream = await asyncio.to_thread(Stream, user, run_id)
    try:
        async with asyncio.timeout(10):
            assert (await stream.next() or ("",))[0] == "snapshot"
            await gateway.admin.execute("update sync_runs set status = 'cancelled', finished_at = now()")
            assert (await stream.next() or ("",))[0] == "state"
            assert (await stream.next() or ("",))[0] == "finish"
    finally:
        stream.close()


async def test_an_open_stream_does_not_hold_the_process(database_url: str) -> None:
    async with running_gateway(database_url) as gateway:  # leaving it fails after 5 s; the stream would last for ever
        user = gateway.user()
        _, run_id = await start(user)
        stream = await asyncio.to_thread(Stream, user, run_id)
        assert (await stream.next() or ("",))[0] == "snapshot"
    try:
        assert await stream.next() is None
    finally:
        stream.close()
