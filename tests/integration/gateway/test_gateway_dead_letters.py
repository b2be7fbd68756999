"""Dead letters: who sees them, replaying, dropping."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer
from gateway_harness import TWO_ENTITIES, Gateway, User, token
from typer.testing import CliRunner

from services.cli.commands import dead_letters
from services.scheduler.dead_letters import DeadLetterHandler
from shared.contracts.ids import Entity, RunId
from shared.contracts.messages import FetchPage, RunRequested, decode, encode
from shared.messaging.ports import Message
from shared.observability.metrics import Metrics
from shared.runtime.dispatch import relay_once
from shared.storage.database import open_database

APP = typer.Typer()
APP.add_typer(dead_letters.app, name="dead-letters")
Bury = Callable[..., Awaitable[None]]
PATH = "/api/ops/dead-letters"


@pytest.fixture
async def bury(gateway: Gateway, database_url: str) -> AsyncIterator[Bury]:
    """The scheduler's own consumer of dead letters."""
    async with open_database(database_url, role="headrace_scheduler") as db:
        handler = DeadLetterHandler(db, gateway.bus, Metrics())

        async def consume(queue: str, kind: str, body: bytes, reason: str = "it cannot be read") -> None:
            headers = {"queue": queue, "reason": reason, "category": "DATA_ERROR"}
            await handler.on_dead_letter(Message(kind, body, headers))

        yield consume


@pytest.fixture
def admin(gateway: Gateway) -> User:
    return gateway.administrator()


async def failing_run(gateway: Gateway, user: User, **asked: Any) -> tuple[dict[str, Any], UUID]:
    """A source and a run of its two entities that a worker has begun."""
    source = await user.add_source(config=TWO_ENTITIES)
    answer = await user.post(f"/api/sources/{source['id']}/sync", asked)
    run_id = UUID(answer.body["run_id"])
    await gateway.admin.execute("update sync_run_entities set status = 'running' where run_id = $1", run_id)
    await gateway.admin.execute("update sync_runs set status = 'running', started_at = now() where id = $1", run_id)
    return source, run_id


def page_message(run_id: UUID, entity: Entity) -> bytes:
    return encode(FetchPage(run_id=RunId(run_id), entity=entity, page_no=1))


async def test_only_administrators_see_letters(gateway: Gateway, user: User, bury: Bury, admin: User) -> None:
    _, run_id = await failing_run(gateway, user)
    await bury("fetch", "page.fetch", page_message(run_id, "vendors"))
    await bury("public", "sync.requested", b"{not json")
    for other in (user, gateway.user()):
        for method, path in [("GET", ""), ("POST", f"/{uuid4()}/replay"), ("POST", f"/{uuid4()}/drop")]:
            answer = await other.call(method, PATH + path)
            assert (answer.status, answer.body["type"]) == (403, "urn:headrace:problem:forbidden")
    assert (await gateway.call("GET", PATH)).status == 401

    letters = (await admin.get(PATH)).body["items"]
    assert [(each["queue"], each["kind"], each["category"], each["reason"]) for each in letters] == [
        ("public", "sync.requested", "DATA_ERROR", "it cannot be read"),
        ("fetch", "page.fetch", "DATA_ERROR", "it cannot be read"),
    ]
    assert [(each["user_id"], each["run_id"], each["entity"]) for each in letters] == [
        (None, None, None), (str(user.id), str(run_id), "vendors"),
    ]  # fmt: skip
    assert "body" not in letters[0]


async def test_letters_come_page_by_page(admin: User, bury: Bury) -> None:
    for number in range(5):
        await bury("public", "sync.requested", str(number).encode())
    seen, cursor = [], ""
    for _ in range(3):
        answer = (await admin.get(f"{PATH}?limit=2{cursor}")).body
        seen += [each["id"] for each in answer["items"]]
        cursor = f"&cursor={answer['next_cursor']}"
    assert answer["next_cursor"] is None
    assert len(seen) == len(set(seen)) == 5
    assert (await admin.get(f"{PATH}?cursor=abc")).status == 400


async def test_a_replay_reads_the_entity_again_in_a_new_run(
    gateway: Gateway, user: User, bury: Bury, admin: User
) -> None:
    source, run_id = await failing_run(gateway, user, mode="full", force=True)
    await bury("fetch", "page.fetch", page_message(run_id, "vendors"))
    [letter] = (await admin.get(PATH)).body["items"]
    gateway.bus.faults.away = True  # accepted all the same, and sent later
    answer = await admin.post(f"{PATH}/{letter['id']}/replay")
    gateway.bus.faults.away = False
    assert answer.status == 202, answer.text
    again = answer.body["run_id"]
    assert answer.headers["location"] == f"/api/runs/{again}"
    assert again != str(run_id)
    run = (await user.get(f"/api/runs/{again}")).body
    assert (run["source_id"], run["trigger"], run["mode"], list(run["entities"])) == (
        source["id"], "replay", "full", ["vendors"],
    )  # fmt: skip
    row = await gateway.admin.fetchrow("select user_id, force from sync_runs where id = $1", UUID(again))
    assert row is not None
    assert (row["user_id"], row["force"]) == (user.id, True)
    async with gateway.bus.subscribe("requests", prefetch=8) as subscription, asyncio.timeout(5):
        assert await relay_once(gateway.deps.database, gateway.bus, older_than=-1) == 1
        asked = {decode(RunRequested, (await anext(aiter(subscription))).message.body).run_id for _ in range(2)}
    assert asked == {run_id, UUID(again)}

    audited = (await user.get("/api/audit?action=dead_letter.replayed")).body["items"]
    assert [(each["actor"], each["actor_id"], each["object_id"], each["details"]["run_id"]) for each in audited] == [
        ("operator", str(admin.id), letter["id"], again)
    ]

    for headers in ({}, {"Idempotency_Key": "k"}, {"Idempotency_Key": "k"}):  # once more is the same once
        assert (await admin.post(f"{PATH}/{letter['id']}/replay", **headers)).body == answer.body
    assert await gateway.admin.fetchval("select count(*) from sync_runs where trigger = 'replay'") == 1
    assert (await admin.get(PATH)).body["items"] == []
    [kept] = (await admin.get(f"{PATH}?include_replayed=true")).body["items"]
    assert kept["replayed_at"] is not None
    assert kept["replay_run_id"] == again


async def test_a_plan_that_died_is_replayed_whole(user: User, bury: Bury, admin: User) -> None:
    source = await user.add_source(config=TWO_ENTITIES)
    run_id = UUID((await user.post(f"/api/sources/{source['id']}/sync")).body["run_id"])
    await bury("requests", "run.requested", encode(RunRequested(run_id=RunId(run_id))))
    assert (await user.get(f"/api/runs/{run_id}")).body["status"] == "failed"
    [letter] = (await admin.get(PATH)).body["items"]
    again = (await admin.post(f"{PATH}/{letter['id']}/replay")).body["run_id"]
    assert list((await user.get(f"/api/runs/{again}")).body["entities"]) == ["inventory", "vendors"]


async def test_a_public_request_is_published_again_byte_for_byte(gateway: Gateway, bury: Bury, admin: User) -> None:
    body = b'{"version": 1,  "source_id": not json at all'
    await bury("public", "sync.requested", body)
    [letter] = (await admin.get(PATH)).body["items"]
    answer = await admin.post(f"{PATH}/{letter['id']}/replay")
    assert (answer.status, answer.body) == (202, {"id": letter["id"], "run_id": None})
    assert (await admin.post(f"{PATH}/{letter['id']}/replay")).body == answer.body
    async with gateway.bus.subscribe("public", prefetch=1) as subscription, asyncio.timeout(5):
        delivery = await anext(aiter(subscription))
        assert (delivery.message.kind, delivery.message.body) == ("sync.requested", body)
        await delivery.ack()
    assert await gateway.bus.depth("public") == 0
    assert await gateway.admin.fetchval("select count(*) from outbox") == 0
    assert (await admin.get(PATH)).body["items"] == []
    await bury("public", "sync.requested", body)  # it dies the same way: the same letter, open again
    assert [each["id"] for each in (await admin.get(PATH)).body["items"]] == [letter["id"]]


async def test_what_cannot_be_run_again_says_why_and_can_be_dropped(
    gateway: Gateway, user: User, bury: Bury, admin: User
) -> None:
    await bury("write", "page.transformed", b"garbage")
    source, run_id = await failing_run(gateway, user)
    await bury("fetch", "page.fetch", page_message(run_id, "vendors"))
    assert (await user.call("DELETE", f"/api/sources/{source['id']}")).status == 204
    letters = (await admin.get(PATH)).body["items"]
    assert len(letters) == 2
    for letter, reason in zip(letters, ("deleted", "no run that is known"), strict=True):
        answer = await admin.post(f"{PATH}/{letter['id']}/replay")
        assert (answer.status, answer.body["hint"]) == (409, "Drop the letter.")
        assert reason in answer.body["detail"]
        dropped = await admin.post(f"{PATH}/{letter['id']}/drop", Idempotency_Key=letter["id"])
        assert (dropped.status, dropped.body) == (200, letter)
        assert (await admin.post(f"{PATH}/{letter['id']}/drop", Idempotency_Key=letter["id"])).body == letter
        assert (await admin.post(f"{PATH}/{letter['id']}/drop")).status == 404
        assert (await admin.post(f"{PATH}/{letter['id']}/replay")).status == 404
    assert await gateway.admin.fetchval("select count(*) from dead_letters") == 0
    for who, queue in ((user, "fetch"), (admin, "write")):  # a letter of nobody is told in the operator's own log
        logged = (await who.get("/api/audit?action=dead_letter.dropped")).body["items"]
        assert [each["details"]["queue"] for each in logged] == [queue]


async def test_a_letter_whose_entity_has_not_ended_waits(gateway: Gateway, user: User, admin: User) -> None:
    _, run_id = await failing_run(gateway, user)
    letter_id = uuid4()
    await gateway.admin.execute(  # as between the two transactions of the scheduler
        "insert into dead_letters (id, user_id, run_id, entity, queue, kind, category, reason, body) "
        "values ($1, $2, $3, 'vendors', 'fetch', 'page.fetch', 'DATA_ERROR', 'why', '')",
        letter_id, user.id, run_id,
    )  # fmt: skip
    answer = await admin.post(f"{PATH}/{letter_id}/replay")
    assert (answer.status, answer.body["run_id"]) == (409, str(run_id))
    assert await gateway.admin.fetchval("select replayed_at from dead_letters") is None


async def test_being_an_operator_opens_nothing_else(gateway: Gateway, user: User, admin: User) -> None:
    source, _ = await failing_run(gateway, user)
    assert (await admin.get(f"/api/sources/{source['id']}")).status == 404
    async with gateway.deps.database.for_tenant(admin.id) as conn:  # type: ignore[arg-type] # a plain UUID
        await conn.execute("select set_config('headrace.operator', 'on', true)")
        assert await conn.fetchval("select count(*) from sync_runs") == 0
        assert await conn.fetchval("select count(*) from external_data_sources") == 0
    async with gateway.deps.database.for_tenant(admin.id) as conn:  # type: ignore[arg-type] # as above
        assert await conn.fetchval("select headrace_operator()") is False, "it ended with its transaction"


async def test_the_commands(gateway: Gateway, user: User, bury: Bury, admin: User, tmp_path: Path) -> None:
    def type_as(who: User, *words: str) -> Any:
        endpoints = {"gateway_url": gateway.url, "token": token(who.id, **who.claims)}
        (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
        return CliRunner().invoke(APP, ["dead-letters", *words, "--data-dir", str(tmp_path)])

    _, run_id = await failing_run(gateway, user)
    await bury("fetch", "page.fetch", page_message(run_id, "vendors"))
    await bury("public", "sync.requested", b"x")
    listed = await asyncio.to_thread(type_as, admin, "list", "--json")
    public, fetch = [each["id"] for each in json.loads(listed.stdout)]
    table = await asyncio.to_thread(type_as, admin, "list")
    assert fetch in table.stdout
    assert "it cannot be read" in table.stdout
    replayed = await asyncio.to_thread(type_as, admin, "replay", fetch, "--json")
    assert (replayed.exit_code, json.loads(replayed.stdout)["id"]) == (0, fetch)
    assert "published again" in (await asyncio.to_thread(type_as, admin, "replay", public)).stdout
    assert json.loads((await asyncio.to_thread(type_as, admin, "list", "--json")).stdout) == []
    everything = await asyncio.to_thread(type_as, admin, "list", "--json", "--replayed")
    assert len(json.loads(everything.stdout)) == 2
    dropped = await asyncio.to_thread(type_as, admin, "drop", public, "--json")
    assert (dropped.exit_code, json.loads(dropped.stdout)["id"]) == (0, public)
    for who, words, reason in [
        (admin, ("drop", public), "no such dead letter"),
        (admin, ("replay", str(uuid4())), "no such dead letter"),
        (user, ("list",), "for administrators"),
    ]:
        refused = await asyncio.to_thread(type_as, who, *words)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert reason in refused.stderr
