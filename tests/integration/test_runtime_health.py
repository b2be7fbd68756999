import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from shared.errors import StartupError
from shared.observability.metrics import Metrics
from shared.runtime.health import HealthApp, Readiness, listen, serving


class Part:
    name = "part"

    def __init__(self, answer: Callable[[], bool] = lambda: True) -> None:
        self.answer = answer

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()

    async def ready(self) -> bool:
        return self.answer()


class Hanging(Part):
    async def ready(self) -> bool:
        await asyncio.Event().wait()
        return True


class Running:
    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.readiness = Readiness(self.stop)
        self.metrics = Metrics()
        self.port = 0

    async def get(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        return int(head.split()[1]), head.lower(), body


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    running = Running()
    listener = listen("127.0.0.1", 0)
    running.port = listener.getsockname()[1]
    async with serving(HealthApp(running.metrics.registry, running.readiness), listener):
        yield running


async def test_alive_at_once_but_ready_only_while_open(server: Running) -> None:
    assert (await server.get("/healthz"))[0::2] == (200, "ok\n")
    assert (await server.get("/readyz"))[0::2] == (503, "not ready\n")
    server.readiness.opened([Part(), Part()])
    assert (await server.get("/readyz"))[0::2] == (200, "ok\n")
    server.stop.set()
    assert (await server.get("/readyz"))[0] == 503
    assert (await server.get("/healthz"))[0] == 200


async def test_one_service_that_says_no_or_fails_makes_the_process_unready(server: Running) -> None:
    def fails() -> bool:
        raise OSError("kingfisher")

    for answer in (lambda: False, fails):
        server.readiness.opened([Part(), Part(answer)])
        status, _, body = await server.get("/readyz")
        assert (status, body) == (503, "not ready\n")


async def test_a_service_that_does_not_answer_makes_the_process_unready(server: Running) -> None:
    hasty = Readiness(server.stop, patience=0.05)
    hasty.opened([Hanging()])
    assert not await hasty()


async def test_metrics_are_shown(server: Running) -> None:
    server.metrics.batch_rows.labels("inserted").inc(40)
    status, head, body = await server.get("/metrics")
    assert status == 200
    assert "text/plain" in head
    assert 'headrace_batch_rows_total{outcome="inserted"} 40.0' in body


async def test_all_else_is_refused_and_the_software_not_named(server: Running) -> None:
    assert (await server.get("/"))[0] == 404
    assert (await server.get("/metrics/"))[0] == 404
    assert (await server.get("/healthz", "POST"))[0] == 405
    status, head, body = await server.get("/healthz", "HEAD")
    assert (status, body) == (200, "")
    assert "uvicorn" not in head


async def test_the_servers_signals_stay_ours_and_the_port_is_free_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    running = Running()
    running.port = port
    async with serving(HealthApp(running.metrics.registry, running.readiness), listener):
        await running.get("/healthz")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await running.get("/healthz")
    listen("127.0.0.1", port).close()


async def test_a_port_in_use_is_a_startup_error_that_names_the_setting() -> None:
    first = listen("127.0.0.1", 0)
    with pytest.raises(StartupError, match="HEADRACE_METRICS_PORT"):
        listen("127.0.0.1", first.getsockname()[1])
    first.close()
