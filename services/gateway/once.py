"""POSTs that create or start: work, Idempotency-Key and outbox rows in one transaction, then the publish."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Header, Request, Response
from pydantic import BaseModel

from services.gateway.deps import GatewayDeps
from services.gateway.identity import Identity
from services.gateway.problems import ProblemError, conflict
from shared.contracts.ids import UserId
from shared.contracts.messages import decode_json, encode_json
from shared.errors import SealError
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

_SEALED: Final = "sealed-answer/v1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the work did. `outbox_ids` are published once it is committed."""

    status: int
    body: BaseModel
    location: str | None = None
    outbox_ids: tuple[int, ...] = ()
    secret: bool = False
    """The body holds what is shown to its asker alone: kept sealed for a repetition, never as it is."""


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
                return _response(_opened(deps, identity.user_id, key, stored), replayed=True)
        outcome = await work(conn)
        answer = StoredAnswer(outcome.status, outcome.location, outcome.body.model_dump(mode="json"))
        if key is not None:
            kept = _sealed(deps, identity.user_id, key, answer) if outcome.secret else answer
            await keep(conn, identity.user_id, key, kept)
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


def _sealed(deps: GatewayDeps, user_id: UserId, key: str, answer: StoredAnswer) -> StoredAnswer:
    box = deps.webhook_box.seal_text(encode_json(answer.body), (_SEALED, str(user_id), key))
    return replace(answer, body={_SEALED: box})


def _opened(deps: GatewayDeps, user_id: UserId, key: str, stored: StoredAnswer) -> StoredAnswer:
    box = stored.body.get(_SEALED)
    if not isinstance(box, str):
        return stored
    try:
        body = decode_json(deps.webhook_box.open_text(box, (_SEALED, str(user_id), key)))
    except SealError:  # the gateway's key was replaced since
        raise conflict(
            "This was done already, and the secret in its answer cannot be shown again.",
            hint="Look whether what it made is still wanted, and ask anew with another Idempotency-Key.",
        ) from None
    return replace(stored, body=body)


def _hash(request: Request, body: bytes) -> bytes:
    head = f"{request.method} {request.url.path}\n".encode()
    return hashlib.sha256(head + body).digest()


def _response(answer: StoredAnswer, *, replayed: bool = False) -> Response:
    headers = {"Location": answer.location} if answer.location is not None else {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(encode_json(answer.body), answer.status, headers, media_type="application/json")
