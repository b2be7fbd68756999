"""The tour of the demo, as a user would take it: add sources over HTTP, sync them, sync them again."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import JsonValue
from rich.progress import Progress, TaskID

from services.cli.client import ClientError, Endpoint, GatewayClient
from services.cli.demo_screen import DemoLine, DemoScreen
from services.cli.demo_sources import RunningSandbox
from services.cli.embedded import EmbeddedStack
from services.gateway.models import RunAccepted
from shared.contracts.ids import FINISHED, Entity, SourceId
from shared.errors import HeadraceError
from shared.storage.run_views import RunView
from shared.storage.sources import SourceView

READY_SECONDS = 60.0
SYNC_SECONDS = 90.0
_POLL_SECONDS = 0.1
_CALL_SECONDS = 15.0


class DemoTour:
    """A service that ends the process when the tour is over. Raises HeadraceError naming what was not as promised."""

    name = "demo"

    def __init__(
        self,
        stack: EmbeddedStack,
        sandboxes: Sequence[RunningSandbox],
        screen: DemoScreen,
        stop: asyncio.Event,
        done: Callable[[], None],
    ) -> None:
        endpoint = Endpoint(stack.endpoints.gateway_url, stack.endpoints.token or "")
        self._stack = stack
        self._client = GatewayClient(endpoint, timeout=_CALL_SECONDS)
        self._sandboxes = sandboxes
        self._screen = screen
        self._stop = stop
        self._done = done

    async def run(self, stop: asyncio.Event) -> None:
        tour, stopping = asyncio.create_task(self._tour()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({tour, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if tour.done():
                tour.result()
                self._done()
                self._stop.set()
        except ClientError as error:
            raise HeadraceError(error.message, hint=error.hint) from None
        finally:
            for task in (tour, stopping):
                task.cancel()

    async def ready(self) -> bool:
        return True

    async def _tour(self) -> None:
        await self._until_ready()
        sources = [(sandbox, await self._add(sandbox)) for sandbox in self._sandboxes]
        self._screen.say("\nFirst sync: everything is new.\n")
        self._screen.table(await self._round(sources, first=True))
        self._screen.say("Second sync: nothing has changed, so no row is written.\n")
        self._screen.table(await self._round(sources, first=False))
        self._screen.say(
            "All rows arrived, and the second sync changed none. `headrace up --embedded` keeps it running."
        )

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await self._ready():  # noqa: ASYNC110 - readiness can only be asked for
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise HeadraceError(f"The services are not ready after {READY_SECONDS:.0f} s.") from None

    async def _ready(self) -> bool:
        return all([await service.ready() for service in self._stack.services])

    async def _add(self, sandbox: RunningSandbox) -> SourceId:
        source = await asyncio.to_thread(self._client.post, SourceView, "/api/sources", dict(sandbox.body()))
        return source.id

    async def _round(self, sources: Sequence[tuple[RunningSandbox, SourceId]], *, first: bool) -> list[DemoLine]:
        lines: list[DemoLine] = []
        with self._screen.progress() as progress:
            for sandbox, source_id in sources:
                run = await self._sync(sandbox, source_id, progress)
                _check(sandbox, run, first=first)
                seconds = (run.finished_at - run.requested_at).total_seconds() if run.finished_at else 0.0
                lines += [
                    DemoLine(sandbox.source.source_type, entity, counters, seconds)
                    for entity, counters in run.entities.items()
                ]
        return lines

    async def _sync(self, sandbox: RunningSandbox, source_id: SourceId, progress: Progress) -> RunView:
        """A full read past the cache: what is compared is everything the vendor has."""
        body: dict[str, JsonValue] = {"mode": "full", "force": True}
        accepted = await asyncio.to_thread(self._client.post, RunAccepted, f"/api/sources/{source_id}/sync", body)
        bars: dict[Entity, TaskID] = {}
        truth = sandbox.truth()
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                while True:
                    run = await asyncio.to_thread(self._client.get, RunView, f"/api/runs/{accepted.run_id}")
                    for entity, counters in run.entities.items():
                        if entity not in bars:
                            name = f"{sandbox.source.source_type} {entity}"
                            bars[entity] = progress.add_task(name, total=truth[entity])
                        progress.update(bars[entity], completed=counters.read)
                    if run.status in FINISHED:
                        return run
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise HeadraceError(f"{sandbox.source.display_name}: not synced after {SYNC_SECONDS:.0f} s.") from None


def _check(sandbox: RunningSandbox, run: RunView, *, first: bool) -> None:
    """Raises HeadraceError unless the first round inserted, and the second left alone, exactly what the vendor has."""
    name, truth = sandbox.source.display_name, sandbox.truth()
    if run.status != "succeeded":
        why = f": {run.error.message}" if run.error else ""
        raise HeadraceError(f"{name}: the run {run.status}{why}", hint=(run.error.hint or "") if run.error else "")
    if set(run.entities) != set(truth):
        raise HeadraceError(f"{name}: synced {', '.join(run.entities)} instead of {', '.join(truth)}.")
    for entity, of in run.entities.items():
        due = truth[entity]
        counted = (of.read, of.inserted, of.updated, of.unchanged, of.deleted, of.quarantined)
        if counted != ((due, due, 0, 0, 0, 0) if first else (due, 0, 0, due, 0, 0)):
            raise HeadraceError(
                f"{name}: of {due} {entity}, {of.read} were read, {of.inserted} inserted, {of.updated} updated, "
                f"{of.unchanged} unchanged, {of.deleted} deleted and {of.quarantined} quarantined."
            )
