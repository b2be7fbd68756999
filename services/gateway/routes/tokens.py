"""API tokens: make, list, revoke. Only people do; a token makes no tokens."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.gateway.api_tokens import new_token
from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import storable_text
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.paging import DEFAULT_LIMIT, CursorText, ItemList, Limit, page, time_cursor
from services.gateway.problems import FieldError, invalid, not_found
from shared.storage.api_tokens import Scope, TokenView, insert_token, list_tokens, load_token, revoke_token
from shared.storage.audit import record
from shared.storage.database import Connection

router = APIRouter(prefix="/api/tokens", tags=["tokens"])
MAX_DAYS = 3_650


class TokenCreate(BaseModel):
    """What the token is for, what it may do, and for how long; no `expires_in_days`: until it is revoked."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable_text)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = ["read", "sync"]
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None


class TokenCreated(TokenView):
    """With the token itself, which is shown this once."""

    token: str


@router.post("", status_code=201, response_model=TokenCreated)
async def create(
    body: TokenCreate, request: Request, identity: CurrentIdentity, deps: Deps, key: IdempotencyKey = None
) -> Response:
    """Make a token. It stands in this answer alone; with an Idempotency-Key a repetition gives it for a day."""
    if "admin" in body.scopes and not identity.is_admin:
        raise invalid([FieldError(pointer="/scopes", detail="only an administrator's token may hold `admin`")])

    async def work(conn: Connection) -> Outcome:
        made, token_id = new_token(), uuid4()
        expires_at = deps.clock.now() + timedelta(days=body.expires_in_days) if body.expires_in_days else None
        scopes = sorted(set(body.scopes))
        await insert_token(
            conn, identity.user_id, token_id, body.name, made.prefix, made.secret_hash, scopes, expires_at
        )
        await record(
            conn, identity.user_id, identity.actor, "token.created", "token", token_id, {"scopes": list(scopes)}
        )
        view = await load_token(conn, token_id)
        assert view is not None
        return Outcome(201, TokenCreated(**view.model_dump(), token=made.text), secret=True)

    return await once(deps, identity, request, key, work)


@router.get("")
async def list_all(
    identity: CurrentIdentity, deps: Deps, limit: Limit = DEFAULT_LIMIT, cursor: CursorText = None
) -> ItemList[TokenView]:
    """The caller's tokens, newest first, revoked ones too."""
    before = time_cursor("tokens", cursor)
    async with deps.database.as_user(identity.user_id) as conn:
        found = await list_tokens(conn, limit=limit + 1, before=before)
    return page(found, limit, "tokens", lambda token: (token.created_at.isoformat(), str(token.id)))


@router.delete("/{token_id}", status_code=204)
async def revoke(token_id: UUID, identity: CurrentIdentity, deps: Deps) -> Response:
    """It is refused from now on."""
    async with deps.database.for_tenant(identity.user_id) as conn:
        if not await revoke_token(conn, token_id):
            raise not_found("token")
        await record(conn, identity.user_id, identity.actor, "token.revoked", "token", token_id)
    return Response(status_code=204)
