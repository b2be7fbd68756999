"""`headrace up` as a process of its own: started, waited for, looked at, ended."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import eventually
from services.cli.client import ClientError, Endpoint, GatewayClient
from services.gateway.models import RunAccepted
from shared.contracts.ids import FINISHED
from shared.storage.run_views import RunView
from shared.storage.sources import SourceView

COMMAND = (sys.executable, "-m", "services.cli")
READY_SECONDS = 90.0
STOP_SECONDS = 20.0


@dataclass
class Up:
    """A running `headrace up`."""

    process: asyncio.subprocess.Process
    data_dir: Path
    log: Path

    def endpoints(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.data_dir / "endpoints.json").read_text())
        return document

    def pids(self) -> dict[str, list[int]]:
        pids: dict[str, list[int]] = self.endpoints()["pids"]
        return pids

    def client(self) -> GatewayClient:
        found = self.endpoints()
        return GatewayClient(Endpoint(found["gateway_url"], found["token"]), timeout=30)

    async def add_source(self, body: Mapping[str, Any]) -> SourceView:
        return await asyncio.to_thread(self.client().post, SourceView, "/api/sources", dict(body))

    async def start_sync(self, source: SourceView) -> RunAccepted:
        return await asyncio.to_thread(
            self.client().post, RunAccepted, f"/api/sources/{source.id}/sync", {"force": True}
        )

    async def run(self, accepted: RunAccepted) -> RunView:
        return await asyncio.to_thread(self.client().get, RunView, f"/api/runs/{accepted.run_id}")

    async def run_when(
        self, accepted: RunAccepted, good: Callable[[RunView], bool], *, within: float = 40, every: float = 0.05
    ) -> RunView:
        """Also while the gateway is away. `every` so many seconds a request: who waits must not be the load."""

        async def look() -> RunView | ClientError:
            try:
                return await self.run(accepted)
            except ClientError as error:
                if error.status is not None and error.status < 500:
                    raise
                return error

        try:
            run: RunView = await eventually(
                look, lambda seen: not isinstance(seen, ClientError) and good(seen), within=within, every=every
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{_tail(self.log)}") from None
        return run

    async def finished(self, accepted: RunAccepted, *, within: float = 40) -> RunView:
        return await self.run_when(accepted, lambda run: run.status in FINISHED, within=within, every=0.25)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code; fails when it takes longer than promised."""
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def headrace_up(data_dir: Path, log: Path, *options: str, **settings: str) -> AsyncIterator[Up]:
    """Ready when the block begins, ended when it is left. `settings`: HEADRACE_… variables without their prefix."""
    environ = {**os.environ, **{f"HEADRACE_{name.upper()}": text for name, text in settings.items()}}
    announced, old = data_dir / "endpoints.json", _identity(data_dir / "endpoints.json")
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "up", "--data-dir", str(data_dir), "--port", "0", *options,
            env=environ, stdout=output, stderr=output,
        )  # fmt: skip
    up = Up(process, data_dir, log)
    try:
        await until(
            lambda: _identity(announced) not in {old, None} or process.returncode is not None, READY_SECONDS, log
        )
        assert process.returncode is None, _tail(log)
        yield up
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def until(good: Callable[[], bool], within: float, log: Path | None = None) -> None:
    """Look again and again until it is good; what the process said last is in the error."""

    async def look() -> bool:
        return good()

    try:
        await eventually(look, bool, within=within)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_tail(log) if log else ''}") from None


def _identity(file: Path) -> tuple[int, int] | None:
    """What tells a file from the one that a killed process left in its place."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _tail(log: Path) -> str:
    return log.read_text()[-4000:]


def shop_source(base: str, *, page_size: int = 5) -> dict[str, Any]:
    """The products of the JSON API's shop, as a user would add them."""
    return {
        "source_type": "json_api",
        "display_name": "the shop",
        "config": {
            "entities": {
                "inventory": {
                    "url": f"{base}/page/products",
                    "records_path": "items",
                    "id_path": "productID",
                    "pagination": {"type": "page", "page_param": "page", "size_param": "size", "page_size": page_size},
                }
            }
        },
        "credentials": {"type": "none"},
        "field_mappings": {
            "inventory": {"sku": "to_string(productID)", "name": "productName", "quantity_on_hand": "unitsInStock"}
        },
        "sync_frequency": "manual",
    }
