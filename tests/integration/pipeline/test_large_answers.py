"""A large answer costs the fetcher little memory: its process is a real one, and its peak is what the system says."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline import new_ring, running_pipeline
from sandboxes.serving import running
from shared.messaging.amqp import AmqpBus

MB = 1024 * 1024
PEAK = 200 * MB
OTHERS = ("scheduler", "transformer", "writer")
KEPT = 50
"""One record in so many is kept; the others are filtered: what is measured is the fetcher, not how fast rows land."""
NOTE = 'Zürich, Halle 3; "left" of the door. ' * 8
MAPPING = {"inventory": {"sku": "code", "name": "name", "quantity_on_hand": "stock"}}


def csv_pieces(size: int) -> Iterator[bytes]:
    """A file of about `size` bytes; its quoted notes hold delimiters, quotes and line ends."""
    yield b"code,name,stock,keep,note\n"
    note = '"' + NOTE.replace('"', '""') + '\r\n"'
    yield from _pieces(size, lambda number, keep: f"P{number},Product {number},{number % 997},{keep},{note}\n")


def json_pieces(size: int) -> Iterator[bytes]:
    """The same as one JSON document whose list lies below two keys."""
    yield b'{"meta":{"pages":1},"data":{"items":['
    note = NOTE.replace('"', '\\"')
    yield from _pieces(
        size,
        lambda number, keep: (
            f'{{"code":"P{number}","name":"Product {number}","stock":{number % 997},"keep":"{keep}","note":"{note}"}},'
        ),
    )
    yield b'{"code":"last","name":"Last","stock":1.50,"keep":"yes"}]}}'


def _pieces(size: int, line: Any) -> Iterator[bytes]:
    sent = number = 0
    while sent < size:
        piece = "".join(line(at, "yes" if at % KEPT == 0 else "no") for at in range(number, number + 500)).encode()
        number += 500
        sent += len(piece)
        yield piece


def app_of(size: int) -> tuple[web.Application, dict[str, int]]:
    """Serves both, made while they are sent; and how many bytes were sent."""
    sent: dict[str, int] = {}

    def handler(name: str, kind: str, pieces: Any) -> Any:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": kind})
            await response.prepare(request)
            sent[name] = 0
            for piece in pieces(size):
                await response.write(piece)
                sent[name] += len(piece)
            await response.write_eof()
            return response

        return answer

    app = web.Application()
    app.router.add_get("/items.csv", handler("csv_api", "text/csv", csv_pieces))
    app.router.add_get("/items.json", handler("json_api", "application/json", json_pieces))
    return app, sent


def config(base: str, source_type: str) -> dict[str, Any]:
    if source_type == "csv_api":
        entity = {"url": f"{base}/items.csv", "id_column": "code"}
    else:
        entity = {"url": f"{base}/items.json", "id_path": "code", "records_path": "data.items"}
    return {"entities": {"inventory": entity | {"filter": "keep == 'yes'"}}}


@asynccontextmanager
async def fetcher(log: Path, **settings: str) -> AsyncIterator[Process]:
    """`python -m services.fetcher` as a process of its own."""
    environ = {**os.environ, **{f"HEADRACE_{name.upper()}": text for name, text in settings.items()}}
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.fetcher", env=environ, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(30):
                assert await process.wait() == 0, _tail(log)


def _tail(log: Path) -> str:
    return log.read_text()[-2000:]


def peak_of(process: Process) -> int:
    """The largest resident size so far, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("source_type", ["csv_api", "json_api"])
@pytest.mark.parametrize(
    ("size", "within"),
    [
        pytest.param(24 * MB, 90, id="24 MB"),
        pytest.param(200 * MB, 900, id="200 MB", marks=[pytest.mark.soak, pytest.mark.timeout(1_000)]),
    ],
)
async def test_a_large_answer_costs_little_memory(
    tmp_path: Path, database_url: str, redis_url: str, amqp_url: str, bus_prefix: str, redis_prefix: str,
    source_type: str, size: int, within: float,
) -> None:  # fmt: skip
    app, sent = app_of(size)
    ring = new_ring()
    bus = AmqpBus(amqp_url, prefix=bus_prefix)
    await bus.start()
    try:
        async with (
            running(app) as base,
            running_pipeline(
                database_url, redis_url, redis_prefix, bus=bus, ring=ring, services=OTHERS
            ) as pipeline,
            fetcher(
                tmp_path / "log",
                database_url=database_url, redis_url=redis_url, redis_prefix=redis_prefix,
                amqp_url=amqp_url, amqp_prefix=bus_prefix,
                master_keys=ring.to_text(), egress_allow="127.0.0.0/8", spool_dir=str(tmp_path),
            ) as process,
        ):  # fmt: skip
            source = await pipeline.add_source(
                config(base, source_type), source_type=source_type, field_mappings=MAPPING
            )
            run = await pipeline.sync(source, within=within)

            assert run.status == "succeeded", (run, _tail(tmp_path / "log"))
            counters = run.entities["inventory"]
            assert counters.bytes == sent[source_type] >= size
            assert counters.read == counters.inserted + counters.filtered
            assert counters.read >= size // 500
            rows = {row["external_id"]: row for row in await pipeline.rows("inventory", source)}
            assert len(rows) == counters.inserted
            expected = {f"P{number}" for number in range(0, counters.read, KEPT)}
            assert set(rows) - {"last"} == {key for key in expected if int(key[1:]) < counters.read - ("last" in rows)}
            assert str(rows["P50"]["extra"]).count("Halle 3") == 8
            peak = peak_of(process)
            print(f"{source_type}: {sent[source_type] / MB:.0f} MB, {counters.read:,} records, peak {peak / MB:.0f} MB")
            assert peak < PEAK
    finally:
        await bus.close()
