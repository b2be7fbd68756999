"""The quarantine: whose, which, in which order, and how much at once."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
from gateway_harness import TWO_ENTITIES, Gateway, User, token
from typer.testing import CliRunner

from services.cli.commands import quarantine

APP = typer.Typer()
APP.add_typer(quarantine.app, name="quarantine")
RAW = '{"id": 7, "price": 1.10, "name": "Größe"}'


async def put(gateway: Gateway, user: User, source_id: str, external_id: str | None, **columns: Any) -> UUID:
    """What the writer would write; the newest is the one put last."""
    values = {
        "user_id": user.id, "source_id": UUID(source_id), "run_id": UUID(int=1), "entity": "inventory", "page_no": 1,
        "batch_no": 1, "external_id": external_id, "field": "unit_price", "reason": "is not a number", "raw": RAW,
        "mapping_version": 1,
    } | columns  # fmt: skip
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    made: UUID = await gateway.admin.fetchval(
        f"insert into quarantined_records ({', '.join(values)}) values ({marks}) returning id", *values.values()
    )
    return made


async def ids(user: User, query: str = "") -> list[str | None]:
    answer = await user.get(f"/api/quarantine{query}")
    assert answer.status == 200, answer.text
    return [item["external_id"] for item in answer.body["items"]]


@pytest.fixture
async def source_id(user: User) -> str:
    return str((await user.add_source(config=TWO_ENTITIES))["id"])


async def test_a_record_is_shown_with_its_reason_and_as_it_came(gateway: Gateway, user: User, source_id: str) -> None:
    made = await put(gateway, user, source_id, "7")
    [record] = (await user.get("/api/quarantine")).body["items"]
    assert record.pop("created_at").endswith("Z")
    assert record == {
        "id": str(made), "source_id": source_id, "run_id": str(UUID(int=1)), "entity": "inventory", "external_id": "7",
        "field": "unit_price", "reason": "is not a number", "raw": RAW, "mapping_version": 1, "resolved_at": None,
    }  # fmt: skip


async def test_filters(gateway: Gateway, user: User, stranger: User, source_id: str) -> None:
    other = str((await user.add_source())["id"])
    foreign = str((await stranger.add_source())["id"])
    await put(gateway, user, source_id, "a")
    await put(gateway, user, source_id, "b", entity="vendors", run_id=UUID(int=2))
    await put(gateway, user, other, None)
    await put(gateway, stranger, foreign, "foreign")
    await gateway.admin.execute(
        "update quarantined_records set resolved_at = now() where id = $1", await put(gateway, user, source_id, "old")
    )
    assert await ids(user) == [None, "b", "a"]
    assert await ids(user, "?include_resolved=true") == ["old", None, "b", "a"]
    assert await ids(user, f"?source_id={source_id}") == ["b", "a"]
    assert await ids(user, "?entity=vendors") == ["b"]
    assert await ids(user, f"?run_id={UUID(int=2)}") == ["b"]
    assert await ids(user, f"?source_id={foreign}") == []
    assert await ids(stranger) == ["foreign"]
    for query in ("?entity=things", "?source_id=1", "?limit=501"):
        assert (await user.get(f"/api/quarantine{query}")).status == 422, query
    assert (await user.get("/api/quarantine?cursor=abc")).status == 400
    assert (await gateway.call("GET", "/api/quarantine")).status == 401


async def test_pages_keep_to_the_limit_and_to_a_size(gateway: Gateway, user: User, source_id: str) -> None:
    large = json.dumps("x" * 3_000_000)
    for number in range(4):
        await put(gateway, user, source_id, str(number), raw=large)
    pages: list[list[str]] = []
    cursor = ""
    while True:
        answer = (await user.get(f"/api/quarantine?limit=3{cursor}")).body
        pages.append([item["external_id"] for item in answer["items"]])
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert pages == [["3", "2"], ["1", "0"]], "two of 3 MB fit into 8 MB, a third does not"
    assert (await user.get("/api/quarantine?limit=1")).body["next_cursor"] is not None
    await put(gateway, user, source_id, "huge", raw=json.dumps("x" * 9_000_000))
    assert await ids(user) == ["huge"], "one that is too large for any page comes alone"


async def test_the_command(gateway: Gateway, user: User, source_id: str, tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"gateway_url": gateway.url, "token": token(user.id)}))

    async def type_(*words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, APP, ["quarantine", *words, "--data-dir", str(tmp_path)])

    await put(gateway, user, source_id, "7")
    await put(gateway, user, source_id, "8", entity="vendors")
    listed = await type_("list", "--source", source_id, "--entity", "vendors", "--json")
    assert (listed.exit_code, [each["external_id"] for each in json.loads(listed.stdout)]) == (0, ["8"])
    assert json.loads(listed.stdout)[0]["raw"] == RAW
    assert len(json.loads((await type_("list", "--limit", "1", "--json")).stdout)) == 1
    assert "is not a number" in (await type_("list")).stdout
    await put(gateway, user, source_id, "\x1b[2Jgone", reason="two\nlines")
    table = (await type_("list")).stdout
    assert "\x1b" not in table, "what a vendor sent must not steer the terminal"
    assert "[2Jgone" in table
    refused = await type_("list", "--entity", "things")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "entity" in refused.stderr
