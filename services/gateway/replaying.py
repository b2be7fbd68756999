"""Replaying a dead letter: its entity is read again in a new run; a public request is published again."""

from dataclasses import dataclass

from pydantic import JsonValue

from services.gateway.problems import ProblemError, conflict
from services.gateway.run_flags import run_flags
from shared.contracts.ids import ACTIVE, Entity, RunId, UserId
from shared.errors import PoisonMessageError
from shared.storage import outbox
from shared.storage.audit import Actor, record
from shared.storage.database import Connection
from shared.storage.dead_letters import DeadLetterView, mark_replayed
from shared.storage.operators import on_behalf_of
from shared.storage.run_views import RunView, load_run
from shared.storage.runs import RunAsk, request_run
from shared.storage.sources import SourceView, load_source

_DROP = "Drop the letter."


@dataclass(frozen=True, slots=True)
class Replayed:
    """`run_id` None: the message itself goes out again. `outbox_ids`: to be published once it is committed."""

    run_id: RunId | None
    outbox_ids: tuple[int, ...] = ()


async def replay_letter(conn: Connection, operator: UserId, letter: DeadLetterView, body: bytes) -> Replayed:
    """In the operator's transaction, which holds the letter. One that was replayed already is answered as then.

    Raises 409 problems for what cannot be done again.
    """
    if letter.replayed_at is not None:
        return Replayed(letter.replay_run_id)
    if letter.run_id is not None and letter.user_id is not None:
        async with on_behalf_of(conn, letter.user_id, operator=operator):
            replayed = await _run_again(conn, letter.user_id, letter.run_id, letter.entity)
    elif letter.queue == "public":
        replayed = Replayed(None, (await outbox.add_again(conn, letter.kind, body),))
    else:
        raise _hopeless("The message names no run that is known, so nothing can be run again.")
    await mark_replayed(conn, letter.id, replayed.run_id)
    await write_down(conn, operator, letter, "replayed", replayed.run_id)
    return replayed


async def write_down(
    conn: Connection, operator: UserId, letter: DeadLetterView, verb: str, run_id: RunId | None = None
) -> None:
    """In the log of the tenant whose letter it was, who sees that an operator did it; else in the operator's own."""
    details: dict[str, JsonValue] = {"queue": letter.queue, "run_id": None if run_id is None else str(run_id)}
    tenant = letter.user_id or operator
    async with on_behalf_of(conn, tenant, operator=operator):
        actor = Actor("operator", str(operator))
        await record(conn, tenant, actor, f"dead_letter.{verb}", "dead_letter", letter.id, details)


async def _run_again(conn: Connection, tenant: UserId, run_id: RunId, entity: Entity | None) -> Replayed:
    run = await load_run(conn, run_id)
    source = None if run is None else await load_source(conn, run.source_id)
    if run is None or source is None:
        raise _hopeless("The source was deleted since.")
    wanted = [entity] if entity is not None else list(run.entities)
    _check(run, source, wanted)
    flags = await run_flags(conn, run_id)
    ask = RunAsk(
        source.id, tenant, source.source_type, tuple(wanted), "replay", run.mode, flags.force, flags.dry_run
    )  # fmt: skip
    try:
        # Merged into a run that waits: an administrator's wish for a tenant is not refused because the tenant is busy.
        again = await request_run(conn, ask, merge=True)
    except PoisonMessageError:  # deleted between our look and the lock
        raise _hopeless("The source was deleted since.") from None
    return Replayed(again.run_id, again.outbox_ids)


def _check(run: RunView, source: SourceView, wanted: list[Entity]) -> None:
    if gone := [entity for entity in wanted if entity not in source.entities]:
        raise _hopeless(f"The source does not read {', '.join(gone)} any more.")
    if any(run.entities[entity].status in ACTIVE for entity in wanted if entity in run.entities):
        raise conflict(
            f"The run that the letter ends has not ended yet: {run.id}.",
            hint="Try again in a moment.",
            run_id=run.id,
        )


def _hopeless(detail: str) -> ProblemError:
    return conflict(detail, hint=_DROP)
