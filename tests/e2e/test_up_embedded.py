"""`headrace up --embedded`: nothing to install, keeps its promises, and goes on where a kill cut it off."""

import asyncio
import re
import signal
import stat
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from up_harness import COMMAND, headrace_up, shop_source

from sandboxes.behaviour.faults import FaultRule
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

SERVICES = {"gateway", "scheduler", "fetcher", "transformer", "writer"}


async def test_an_embedded_headrace_serves_one_data_directory_and_ends_clean(tmp_path: Path) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    async with headrace_up(data_dir, log, "--embedded", "--sandboxes") as up:
        found = up.endpoints()
        assert stat.S_IMODE((data_dir / "endpoints.json").stat().st_mode) == 0o600
        assert set(found) == {"gateway_url", "database_url", "redis_url", "amqp_url", "token", "pids"}
        assert found["amqp_url"] is None
        assert found["pids"] == {service: [up.process.pid] for service in SERVICES}
        for secret in ("jwt.secret", "master.keys", "postgres.password"):
            assert stat.S_IMODE((data_dir / secret).stat().st_mode) == 0o600

        code, said = await _command("up", "--embedded", "--data-dir", str(data_dir), "--port", "0")
        assert code == 2
        assert "runs already" in said
        assert "Traceback" not in said
        assert up.endpoints() == found, "the second one must not touch what belongs to the first"

        said = log.read_text()
        assert found["token"] not in said
        (link,) = re.findall(r"sign in +(\S+)", said)
        assert link.startswith(f"{found['gateway_url']}/?code=")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            async with browser.get(link) as page:
                assert (page.status, page.url.path_qs) == (200, "/")
                assert "You are signed in" in await page.text()
            async with browser.get(f"{found['gateway_url']}/api/session") as session:
                assert (session.status, (await session.json())["is_admin"]) == (200, True)

        code, said = await _command("doctor", "--data-dir", str(data_dir))
        assert code == 0, said
        assert "✗" not in said

        assert await up.stop() == 0
    assert not (data_dir / "endpoints.json").exists()
    assert "Traceback" not in log.read_text()


async def test_a_run_that_a_kill_cut_off_ends_well_after_the_next_start(tmp_path: Path) -> None:
    data_dir, log = tmp_path / "data", tmp_path / "log"
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        allow = urlsplit(base).netloc
        async with headrace_up(data_dir, log, "--embedded", egress_allow=allow) as up:
            state.behaviour.faults.set(FaultRule(kind="delay", path="/page/products", ms=200))
            source = await up.add_source(shop_source(base))
            accepted = await up.start_sync(source)
            before = await up.run_when(accepted, lambda run: run.entities["inventory"].pages >= 2)
            assert before.status == "running", "nothing would be cut off"
            token = up.endpoints()["token"]
            assert await up.stop(signal.SIGKILL) == -signal.SIGKILL
        state.behaviour.faults.set()

        async with headrace_up(data_dir, log, "--embedded", egress_allow=allow) as up:
            assert up.endpoints()["token"].split(".")[0] == token.split(".")[0]
            run = await up.finished(accepted)

            assert run.status == "succeeded", run
            counters = run.entities["inventory"]
            assert counters.read == counters.inserted == len(state.records("products"))
            assert await up.stop() == 0


async def _command(*arguments: str) -> tuple[int | None, str]:
    """Exit code and all that was said."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return process.returncode, said.decode()
