"""The life of a real process: signals, grace, exit codes."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CANARY = "Tr0ub4dor-Kingfisher"
LIMIT = 20.0
Launch = Callable[..., Awaitable[Process]]


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    async with AsyncExitStack() as stack:

        async def start(scenario: str, **environment: str) -> Process:
            environ = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
            script = str(HERE / "runtime_process.py")
            process = await asyncio.create_subprocess_exec(
                sys.executable, script, scenario, stdout=PIPE, stderr=PIPE, env=environ
            )
            stack.push_async_callback(_end, process)
            return process

        yield start


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def until(process: Process, line: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT):
        while (said := await process.stdout.readline()).decode().strip() != line:
            assert said, f"the process ended before {line!r}"


async def end_of(process: Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_closes_and_exits_0(launch: Launch, number: signal.Signals) -> None:
    process = await launch("normal")
    await until(process, "running")
    process.send_signal(number)
    code, out, err = await end_of(process)
    assert (code, out.split()) == (0, ["draining", "drained", "closed"])
    assert "Traceback" not in err


async def test_a_signal_while_opening_closes_and_exits_0(launch: Launch) -> None:
    process = await launch("opening")
    await until(process, "opening")
    process.terminate()
    code, out, err = await end_of(process)
    assert (code, out.split()) == (0, ["closed"])
    assert "Traceback" not in err


async def test_who_does_not_drain_is_cancelled_after_the_grace_period(launch: Launch) -> None:
    process = await launch("stuck")
    await until(process, "running")
    process.terminate()
    code, out, err = await end_of(process)
    assert (code, out.split()) == (0, ["draining", "closed"])
    assert "service_cancelled" in err


async def test_the_same_signal_twice_ends_at_once(launch: Launch) -> None:
    process = await launch("stuck")
    await until(process, "running")
    process.send_signal(signal.SIGINT)
    await until(process, "draining")
    process.send_signal(signal.SIGINT)
    code, out, _ = await end_of(process)
    assert (code, out) == (130, "")


async def test_ctrl_c_followed_by_the_supervisors_sigterm_still_drains(launch: Launch) -> None:
    process = await launch("stuck")
    await until(process, "running")
    process.send_signal(signal.SIGINT)
    await until(process, "draining")
    process.terminate()
    code, out, _ = await end_of(process)
    assert (code, out.split()) == (0, ["closed"])


async def test_what_hangs_beyond_all_patience_is_ended(launch: Launch) -> None:
    async def hang(scenario: str, reached: str) -> int | None:
        process = await launch(scenario)
        await until(process, "running")
        process.terminate()
        await until(process, reached)
        return (await end_of(process))[0]

    started = time.monotonic()
    codes = await asyncio.gather(hang("blocked", "draining"), hang("hanging-thread", "drained"))
    assert codes == [-signal.SIGALRM, -signal.SIGALRM]
    assert time.monotonic() - started < LIMIT


async def test_a_crash_exits_1_and_is_logged_without_the_secret(launch: Launch) -> None:
    code, out, err = await end_of(await launch("crash"))
    assert (code, out.split()) == (1, ["opening", "running", "closed"])
    assert '"crashed"' in err
    assert "OSError: lost [redacted]" in err
    assert CANARY not in err


async def test_a_startup_error_is_one_clear_line_and_exits_2(launch: Launch) -> None:
    code, _, err = await end_of(await launch("bad-setting"))
    assert (code, err) == (2, "headrace: HEADRACE_REDIS_URL: no server at redis://[redacted]@h\n  Start it.\n")


async def test_a_bad_setting_of_the_process_itself_exits_2_without_its_value(launch: Launch) -> None:
    code, out, err = await end_of(await launch("normal", HEADRACE_LOG_LEVEL="kingfisher"))
    assert (code, out) == (2, "")
    assert err.startswith("headrace: HEADRACE_LOG_LEVEL: ")
    assert "kingfisher" not in err


async def test_health_and_metrics_are_served_beside_the_services(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await launch("normal", HEADRACE_METRICS_PORT=str(port), HEADRACE_LOG_LEVEL="INFO")
    await until(process, "running")
    assert "200 OK" in await _get(port, "/readyz")
    async with asyncio.timeout(LIMIT):
        while "headrace_event_loop_lag_seconds_count 0.0" in await _get(port, "/metrics"):  # noqa: ASYNC110 - no event: another process
            await asyncio.sleep(0.1)
    process.terminate()
    code, _, err = await end_of(process)
    assert code == 0
    assert '"started"' in err


async def _get(port: int, path: str) -> str:
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
    return answer


async def test_services_load_no_client_that_they_have_no_business_with() -> None:
    """Redis' library brings a telemetry SDK along: a fifth of a writer's start. The HTTP client is for key sets."""
    services = "import services.gateway.process, services.transformer.process, services.writer.process, sys"
    look = f"{services}; print(*sorted({{'aiohttp', 'redis'}} & sys.modules.keys()))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", look, stdout=PIPE, stderr=PIPE, cwd=ROOT)
    code, out, err = await end_of(process)
    assert (code, out) == (0, "\n"), err
