"""The commands that talk to a gateway, against a real one."""

import asyncio
import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import typer
from gateway_harness import CONFIG, CREDENTIALS, Gateway, User, token
from typer.testing import CliRunner, Result

from services.cli.client import ClientError, find_endpoint
from services.cli.commands import connectors, runs, sources
from shared.contracts.ids import RunId
from shared.contracts.messages import ProbeReply, RunChanged, RunRequested, decode, encode
from shared.messaging.ports import Message

APP = typer.Typer()
for name, module in (("sources", sources), ("runs", runs), ("connectors", connectors)):
    APP.add_typer(module.app, name=name)


class Terminal:
    """Somebody who types commands, with the endpoints.json of a local stack."""

    def __init__(self, gateway: Gateway, user: User, data_dir: Path) -> None:
        self.data_dir = data_dir
        endpoints = {"gateway_url": gateway.url, "token": token(user.id), "amqp_url": None, "pids": {}}
        (data_dir / "endpoints.json").write_text(json.dumps(endpoints))

    async def type(self, *words: str, stdin: str | None = None) -> Result:
        full = [*words, "--data-dir", str(self.data_dir)]
        return await asyncio.to_thread(CliRunner().invoke, APP, full, stdin)

    async def add(self) -> str:
        added = await self.type(
            "sources", "add", "--type", "json_api", "--name", "Stock", "--config", json.dumps(CONFIG),
            "--credentials", "-", "--frequency", "manual", "--json", stdin=json.dumps(CREDENTIALS),
        )  # fmt: skip
        assert added.exit_code == 0, added.output
        assert CREDENTIALS["token"] not in added.output
        return str(json.loads(added.stdout)["id"])


@pytest.fixture
def terminal(gateway: Gateway, user: User, tmp_path: Path) -> Terminal:
    return Terminal(gateway, user, tmp_path)


async def finish(gateway: Gateway, status: str) -> None:
    """A worker that ends the next run."""
    async with gateway.bus.subscribe("requests", prefetch=1) as subscription:
        async for delivery in subscription:
            run_id: RunId = decode(RunRequested, delivery.message.body).run_id
            await gateway.admin.execute("update sync_runs set status = 'running', started_at = now()")
            await gateway.admin.execute(
                "update sync_run_entities set status = $1, read = 7, finished_at = now()", status
            )
            await gateway.admin.execute("update sync_runs set status = $1, finished_at = now()", status)
            await gateway.bus.announce(Message(RunChanged.KIND, encode(RunChanged(run_id=run_id))))
            await delivery.ack()
            return


async def test_a_source_from_a_file_and_what_is_there(terminal: Terminal) -> None:
    file = terminal.data_dir / "config.json"
    file.write_text(json.dumps(CONFIG))
    added = await terminal.type(
        "sources", "add", "--type", "json_api", "--name", "Stock", "--config", f"@{file}",
        "--credentials", json.dumps(CREDENTIALS), "--mappings", '{"inventory": {"sku": "code"}}',
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    source_id = added.stdout.split()[-1]
    listed = await terminal.type("sources", "list", "--json")
    assert [(each["id"], each["field_mappings"]) for each in json.loads(listed.stdout)] == [
        (source_id, {"inventory": {"sku": "code"}})
    ]
    assert source_id in (await terminal.type("sources", "list")).stdout
    catalogue = json.loads((await terminal.type("connectors", "list", "--json")).stdout)
    assert "json_api" in [entry["source_type"] for entry in catalogue]
    assert "json_api" in (await terminal.type("connectors", "list")).stdout


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("partial", 1)])
async def test_sync_wait_tells_success_by_its_exit_code(
    gateway: Gateway, terminal: Terminal, status: str, code: int
) -> None:
    source_id = await terminal.add()
    worker = asyncio.create_task(finish(gateway, status))
    result = await terminal.type("sources", "sync", source_id, "--wait", "--mode", "full", "--json")
    await worker
    assert result.exit_code == code, result.output
    run = json.loads(result.stdout)
    assert (run["status"], run["mode"], run["entities"]["inventory"]["read"]) == (status, "full", 7)
    assert f"{status}, 7 read" in result.stderr, "the bar, beside the JSON on standard output"


async def test_runs_are_listed_shown_cancelled_and_retried(gateway: Gateway, terminal: Terminal) -> None:
    source_id = await terminal.add()
    run_id = json.loads((await terminal.type("sources", "sync", source_id, "--json")).stdout)["run_id"]
    refused = await terminal.type("sources", "sync", source_id, "--json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert run_id in refused.stderr
    assert json.loads((await terminal.type("runs", "show", run_id, "--json")).stdout)["status"] == "queued"
    assert "cancelled" in (await terminal.type("runs", "cancel", run_id)).stdout
    assert json.loads((await terminal.type("runs", "cancel", run_id, "--json")).stdout)["status"] == "cancelled"
    again = json.loads((await terminal.type("runs", "retry", run_id, "--json")).stdout)["run_id"]
    listed = json.loads((await terminal.type("runs", "list", "--source", source_id, "--json")).stdout)
    assert [(run["id"], run["status"]) for run in listed] == [(again, "queued"), (run_id, "cancelled")]
    assert len(json.loads((await terminal.type("runs", "list", "--limit", "1", "--json")).stdout)) == 1
    assert again in (await terminal.type("runs", "list")).stdout
    assert "inventory: cancelled" in (await terminal.type("runs", "show", run_id)).stdout
    assert await gateway.admin.fetchval("select trigger from sync_runs where id = $1", UUID(again)) == "retry"


async def test_pause_resume_and_test(gateway: Gateway, terminal: Terminal) -> None:
    source_id = await terminal.add()
    assert "paused" in (await terminal.type("sources", "pause", source_id)).stdout
    assert "never_synced" in (await terminal.type("sources", "resume", source_id)).stdout
    for verb, status in (("pause", "paused"), ("resume", "never_synced")):
        told = await terminal.type("sources", verb, source_id, "--json")
        assert (told.exit_code, json.loads(told.stdout)["sync_status"]) == (0, status)

    async def refuse() -> None:
        reply = ProbeReply(ok=False, category="AUTH_FAILED", message="refused", hint="Enter it again.", latency_ms=1)
        async with gateway.bus.subscribe("probe", prefetch=1) as subscription:
            delivery = await anext(aiter(subscription))
            await delivery.reply(Message(ProbeReply.KIND, encode(reply)))
            await delivery.ack()

    worker = asyncio.create_task(refuse())
    result = await terminal.type("sources", "test", source_id)
    await worker
    assert result.exit_code == 1
    assert "AUTH_FAILED: refused" in result.stdout
    assert "Enter it again." in result.stdout


async def test_what_fails_says_why_and_exits_1(terminal: Terminal) -> None:
    for words, reason in [
        (("runs", "show", str(uuid4())), "no such run"),
        (("runs", "list", "--url", "http://127.0.0.1:9", "--token", "x"), "cannot be reached"),
        (("sources", "list", "--token", "a.b.c"), "token is not valid"),
        (("sources", "list", "--url", "http://127.0.0.1:9"), "no token"),
        (("sources", "add", "--type", "x", "--name", "n", "--config", "{", "--credentials", "{}"), "--config"),
        (("sources", "add", "--type", "x", "--name", "n", "--config", "@/none", "--credentials", "{}"), "--config"),
    ]:
        result = await terminal.type(*words)
        assert (result.exit_code, result.stdout) == (1, ""), words
        assert reason in result.stderr, result.stderr


def test_where_the_gateway_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientError, match="No running Headrace"):
        find_endpoint(None, None, tmp_path)
    (tmp_path / "endpoints.json").write_text('{"gateway_url": "http://127.0.0.1:1", "token": "local"}')
    assert find_endpoint(None, None, tmp_path).token == "local"
    assert find_endpoint(None, "mine", tmp_path).url == "http://127.0.0.1:1"
    with pytest.raises(ClientError, match="no token"):  # the local token goes nowhere else
        find_endpoint("https://elsewhere.example.com", None, tmp_path)
    monkeypatch.setenv("HEADRACE_URL", "https://env.example.com/")
    monkeypatch.setenv("HEADRACE_TOKEN", "from-env")
    found = find_endpoint(None, None, tmp_path)
    assert (found.url, found.token) == ("https://env.example.com", "from-env")
    assert find_endpoint("https://option.example.com", "t", tmp_path).url == "https://option.example.com"
    assert "from-env" not in repr(found)
