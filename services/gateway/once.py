"""POSTs that create or start: work, Idempotency-Key and outbox rows in one transaction, then the publish."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request, Response
from pydantic import BaseModel

from services.gateway.deps import GatewayDeps
from services.gateway.identity import Identity
from services.gateway.problems import ProblemError
from shared.contracts.ids import UserId
from shared.contracts.messages import encode_json
from shared.runtime.dispatch import dispatch
from shared.storage.database import Connection
from shared.storage.idempotency import KeyReusedError, StoredAnswer, claim, keep

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same body gives the same answer, once.",
    ),
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the work did. `outbox_ids` are published once it is committed."""

    status: int
    body: BaseModel
    location: str | None = None
    outbox_ids: tuple[int, ...] = ()


async def once(
    deps: GatewayDeps,
    identity: Identity,
    request: Request,
    key: str | None,
    work: Callable[[Connection], Awaitable[Outcome]],
) -> Response:
    """Do `work` in a transaction of the caller's tenant; with a key that was used before, only repeat its answer.

    A problem that `work` raises undoes all of it, the key too: a corrected request may use the key again.
    """
    request_hash = _hash(request, await request.body())
    async with deps.database.for_tenant(identity.user_id) as conn:
        if key is not None:
            stored = await _claim(conn, identity.user_id, key, request_hash)
            if stored is not None:
                return _response(stored, replayed=True)
        outcome = await work(conn)
        answer = StoredAnswer(outcome.status, outcome.location, outcome.body.model_dump(mode="json"))
        if key is not None:
            await keep(conn, identity.user_id, key, answer)
    await dispatch(deps.database, deps.bus, outcome.outbox_ids)
    return _response(answer)


async def _claim(conn: Connection, user_id: UserId, key: str, request_hash: bytes) -> StoredAnswer | None:
    try:
        return await claim(conn, user_id, key, request_hash)
    except KeyReusedError:
        raise ProblemError(
            422,
            "idempotency-key-reused",
            "This Idempotency-Key was used before with another request.",
            hint="Use a new key for a new request.",
        ) from None


def _hash(request: Request, body: bytes) -> bytes:
    head = f"{request.method} {request.url.path}\n".encode()
    return hashlib.sha256(head + body).digest()


def _response(answer: StoredAnswer, *, replayed: bool = False) -> Response:
    headers = {"Location": answer.location} if answer.location is not None else {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(encode_json(answer.body), answer.status, headers, media_type="application/json")
