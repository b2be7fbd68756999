"""One run as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncIterator

from services.gateway.deps import GatewayDeps
from services.gateway.identity import Identity
from services.gateway.run_watch import RunWatch
from shared.contracts.ids import FINISHED, RunId
from shared.errors import PlatformAwayError
from shared.storage.run_views import RunView, load_run

LOOK_EVERY = 2.0
"""Seconds between two looks when no announcement comes: it may have been lost."""
HEARTBEAT_EVERY = 15.0
"""Seconds of silence after which a comment keeps proxies from closing the connection."""
PACE = 0.25
"""Seconds between two reads of a busy run, at least."""
LOOKS_PER_HEARTBEAT = int(HEARTBEAT_EVERY / LOOK_EVERY)


async def run_events(
    deps: GatewayDeps, watch: RunWatch, identity: Identity, run_id: RunId, look_every: float = LOOK_EVERY
) -> AsyncIterator[str]:
    """`snapshot` at once, `state` and `progress` at changes, `finish` last. Ends with the token and the process too."""
    shown: RunView | None = None
    silent = 0
    with watch.watching(run_id, identity.user_id) as changed:
        while not watch.closing and deps.clock.unix() < identity.expires_at:
            changed.clear()  # before the look: a change during it is seen by the next
            run = await _look(deps, identity, run_id, shown)
            if run is None:
                return
            if run != shown:
                yield _event(_kind(shown, run), run)
                shown, silent = run, 0
            if run.status in FINISHED:
                yield _event("finish", run)
                return
            silent += 1
            if silent > LOOKS_PER_HEARTBEAT:
                yield ": still here\n\n"
                silent = 0
            await _wait(changed, look_every)


def _kind(shown: RunView | None, run: RunView) -> str:
    if shown is None:
        return "snapshot"
    return "progress" if shown.status == run.status else "state"


def _event(kind: str, run: RunView) -> str:
    return f"event: {kind}\ndata: {run.model_dump_json()}\n\n"


async def _look(deps: GatewayDeps, identity: Identity, run_id: RunId, shown: RunView | None) -> RunView | None:
    try:
        async with deps.database.as_user(identity.user_id) as conn:
            return await load_run(conn, run_id)
    except PlatformAwayError:
        return shown  # the next look may find it; None before the first: the client connects again


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    await asyncio.sleep(PACE)
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
