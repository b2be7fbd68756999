"""Dead letters of all tenants, for administrators: look, replay, drop."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field

from services.gateway.admins import CurrentAdmin, operations_router
from services.gateway.deps import Deps
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, page, time_cursor
from services.gateway.problems import not_found
from services.gateway.replaying import replay_letter, write_down
from shared.contracts.ids import RunId
from shared.storage.database import Connection
from shared.storage.dead_letters import DeadLetterView, list_letters, lock_letter, remove
from shared.storage.operators import act_as_operator

router = operations_router()


class ReplayAccepted(BaseModel):
    """What serves the replay."""

    id: UUID
    run_id: RunId | None = Field(description="The new run; null: the public request itself is published again.")


@router.get("/dead-letters")
async def dead_letters(
    admin: CurrentAdmin,
    deps: Deps,
    include_replayed: Annotated[bool, Query(description="Also those that were replayed already.")] = False,
    limit: Limit = DEFAULT_LIMIT,
    cursor: CursorText = None,
) -> ItemList[DeadLetterView]:
    """Messages that could not be handled, newest first, each with its reason."""
    before = time_cursor("dead-letters", cursor)
    async with deps.database.for_tenant(admin.user_id) as conn:
        await act_as_operator(conn)
        found = await list_letters(conn, include_replayed=include_replayed, limit=limit + 1, before=before)
    return page(found, limit, "dead-letters", lambda letter: (letter.created_at.isoformat(), str(letter.id)))


@router.post("/dead-letters/{letter_id}/replay", status_code=202, response_model=ReplayAccepted)
async def replay(
    letter_id: UUID, request: Request, admin: CurrentAdmin, deps: Deps, key: IdempotencyKey = None
) -> Response:
    """Run the letter's entity again in a new run, or publish the public request again.

    Asking again gives the same answer; a letter whose replay dies the same way can be replayed anew.
    """

    async def work(conn: Connection) -> Outcome:
        letter, body = await _held(conn, letter_id)
        replayed = await replay_letter(conn, admin.user_id, letter, body)
        location = None if replayed.run_id is None else f"/api/runs/{replayed.run_id}"
        return Outcome(202, ReplayAccepted(id=letter.id, run_id=replayed.run_id), location, replayed.outbox_ids)

    return await once(deps, admin, request, key, work)


@router.post("/dead-letters/{letter_id}/drop", response_model=DeadLetterView)
async def drop(
    letter_id: UUID, request: Request, admin: CurrentAdmin, deps: Deps, key: IdempotencyKey = None
) -> Response:
    """Forget the letter and its message for good; the answer is what it was."""

    async def work(conn: Connection) -> Outcome:
        letter, _ = await _held(conn, letter_id)
        await remove(conn, letter.id)
        await write_down(conn, admin.user_id, letter, "dropped")
        return Outcome(200, letter)

    return await once(deps, admin, request, key, work)


async def _held(conn: Connection, letter_id: UUID) -> tuple[DeadLetterView, bytes]:
    await act_as_operator(conn)
    held = await lock_letter(conn, letter_id)
    if held is None:
        raise not_found("dead letter")
    return held
