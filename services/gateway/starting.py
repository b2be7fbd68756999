"""Asking for runs on behalf of a user."""

from collections.abc import Sequence

from pydantic import JsonValue

from services.gateway.identity import Identity
from services.gateway.models import RunAccepted
from services.gateway.once import Outcome
from services.gateway.problems import FieldError, conflict, invalid, not_found
from shared.contracts.ids import Entity, Mode, SourceId, Trigger
from shared.errors import PoisonMessageError
from shared.storage.audit import record
from shared.storage.database import Connection
from shared.storage.runs import RequestedRun, RunAsk, request_run
from shared.storage.sources import SourceView, load_source


async def living_source(conn: Connection, source_id: SourceId) -> SourceView:
    """Raises a 404 problem for what does not exist, is deleted, or is another user's."""
    source = await load_source(conn, source_id)
    if source is None:
        raise not_found("source")
    return source


async def start_run(
    conn: Connection,
    identity: Identity,
    source: SourceView,
    *,
    trigger: Trigger,
    entities: Sequence[Entity] | None = None,
    mode: Mode = "incremental",
    force: bool = False,
    dry_run: bool = False,
    merge: bool,
) -> RequestedRun:
    """Ask for a run; `entities` None: all of the source's. Raises 404, 409 (naming the active run) and 422 problems."""
    unknown = [entity for entity in entities or () if entity not in source.entities]
    if unknown:
        detail = f"{', '.join(unknown)}: not read by this source; it offers {', '.join(source.entities)}"
        raise invalid([FieldError(pointer="/entities", detail=detail)])
    wanted = [entity for entity in source.entities if entities is None or entity in entities]
    ask = RunAsk(source.id, identity.user_id, source.source_type, tuple(wanted), trigger, mode, force, dry_run)
    try:
        run = await request_run(conn, ask, merge=merge)
    except PoisonMessageError:  # deleted between our look and the lock
        raise not_found("source") from None
    if run.conflict:
        raise conflict(
            f"A run of this source is active: {run.run_id}.",
            hint="Wait for it to end, or cancel it.",
            run_id=run.run_id,
        )
    details: dict[str, JsonValue] = {"source_id": str(source.id), "trigger": trigger}
    await record(conn, identity.user_id, identity.actor, "run.requested", "run", run.run_id, details)
    return run


def accepted(run: RequestedRun) -> Outcome:
    """202 with the run's address."""
    return Outcome(202, RunAccepted(run_id=run.run_id), f"/api/runs/{run.run_id}", run.outbox_ids)
