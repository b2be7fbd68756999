"""Webhooks in. A signature is all that counts; whatever is wrong, the answer is the same."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.gateway import webhook_secrets
from services.gateway.auth import CurrentIdentity
from services.gateway.coalescing import Coalescer
from services.gateway.deps import Deps, GatewayDeps
from services.gateway.document import raw_body
from services.gateway.problems import FieldError, ProblemError, invalid, not_found
from services.gateway.quickbooks_events import changes_by_realm
from services.gateway.signatures import digest, generic_holds, intuit_holds
from shared.contracts.ids import Entity, SourceId
from shared.contracts.messages import decode_json
from shared.storage import webhooks
from shared.storage.audit import record
from shared.storage.sources import lock_source
from shared.storage.webhooks import Change, Signer

router = APIRouter(tags=["webhooks"])
_NOBODY = b"no source has this secret; it keeps the time of an unknown source like that of a known one"


class WebhookEvent(BaseModel):
    """One change. Without `id`: something of the entity changed."""

    model_config = ConfigDict(extra="ignore")

    entity: Entity
    id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    op: Literal["upsert", "delete"]


class WebhookBody(BaseModel):
    """What a sender posts."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    events: Annotated[list[WebhookEvent], Field(max_length=5_000)]


class WebhookAccepted(BaseModel):
    """How many events were taken; they are fetched soon, together with others."""

    accepted: int


class SecretAsked(BaseModel):
    """QuickBooks: the verifier token of the app's webhooks page. Other sources bring none: one is made."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    verifier_token: Annotated[str, Field(min_length=8, max_length=500)] | None = None


class WebhookSecret(BaseModel):
    """Where to post, and what to sign with. The secret is shown this once; None where the vendor has given it."""

    path: str
    secret: str | None


@router.post("/api/sources/{source_id}/webhook-secret", status_code=201)
async def make_secret(
    source_id: SourceId, identity: CurrentIdentity, deps: Deps, body: SecretAsked | None = None
) -> WebhookSecret:
    """Make or replace the signing secret of a source's webhooks; the old one signs nothing any more."""
    given = body.verifier_token if body else None
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await lock_source(conn, source_id)  # two at once would leave it open whose secret counts
        if source is None:
            raise not_found("source")
        vendor_signs = source.source_type == "quickbooks"
        if vendor_signs != (given is not None):
            detail = (
                "needed: QuickBooks signs with it" if vendor_signs else "this source's secret is made here; send none"
            )
            raise invalid([FieldError(pointer="/verifier_token", detail=detail)])
        secret = given or webhook_secrets.new_secret()
        box = webhook_secrets.seal(deps.webhook_box, identity.user_id, source_id, secret)
        await webhooks.keep_secret(conn, source_id, identity.user_id, box)
        await record(conn, identity.user_id, identity.actor, "source.webhook_secret_set", "source", source_id)
    if vendor_signs:
        return WebhookSecret(path=f"/webhooks/quickbooks/{source.config['client_id']}", secret=None)
    return WebhookSecret(path=f"/webhooks/{source_id}", secret=secret)


@router.post("/webhooks/{source_id}", status_code=202, openapi_extra=raw_body(WebhookBody))
async def generic(
    source_id: str,
    request: Request,
    deps: Deps,
    timestamp: Annotated[str, Header(alias="X-Headrace-Timestamp")] = "",
    signature: Annotated[str, Header(alias="X-Headrace-Signature")] = "",
) -> WebhookAccepted:
    """Take `{"events":[{"entity","id"?,"op":"upsert"|"delete"}]}`, signed with the source's secret."""
    body = await request.body()
    signer = await _signer(deps, source_id)
    secret = _secret(deps, signer) if signer else None
    if not generic_holds(secret or _NOBODY, timestamp, signature, body, deps.clock.unix()):
        raise refused()
    if signer is None or secret is None:
        raise refused()
    try:
        events = WebhookBody.model_validate(_json(body)).events
    except (ValidationError, ValueError):
        raise refused() from None
    changes = [Change(event.entity, event.id, event.op) for event in events]
    if any(change.entity not in signer.entities for change in changes):
        raise refused()
    if not await _keep(deps, _coalescer(request), signer, changes, digest(signature)):
        raise refused()
    return WebhookAccepted(accepted=len(changes))


@router.post("/webhooks/quickbooks/{client_id}", status_code=200)
async def quickbooks(
    client_id: Annotated[str, Path(min_length=1, max_length=200)],
    request: Request,
    deps: Deps,
    signature: Annotated[str, Header(alias="intuit-signature")] = "",
) -> WebhookAccepted:
    """Take a vendor's notification in either form; events of companies that no source reads are left out."""
    body = await request.body()
    async with deps.database.transaction() as conn:
        signers = await webhooks.find_app_signers(conn, client_id)
    trusted = [signer for signer in signers if intuit_holds(_secret(deps, signer) or _NOBODY, signature, body)]
    if not trusted:
        intuit_holds(_NOBODY, signature, body)
        raise refused()
    try:
        by_realm = changes_by_realm(_json(body))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise refused() from None
    taken = 0
    for signer in trusted:
        changes = [change for change in by_realm.get(signer.realm or "", ()) if change.entity in signer.entities]
        if changes:
            # Intuit sends an unanswered notification again, with the same signature: events may come twice.
            await _keep(deps, _coalescer(request), signer, changes, None)
            taken += len(changes)
    return WebhookAccepted(accepted=taken)


def refused() -> ProblemError:
    """The one answer to everything that is wrong: it tells nothing about which sources exist."""
    return ProblemError(
        401,
        "unauthenticated",
        "The webhook is not signed as it must be.",
        category="AUTH_FAILED",
        hint="Check the address, the secret, the time (within 5 minutes, each signature once) and the body's form.",
    )


async def _signer(deps: GatewayDeps, source_id: str) -> Signer | None:
    try:
        wanted = SourceId(UUID(source_id))
    except ValueError:
        return None
    async with deps.database.transaction() as conn:
        return await webhooks.find_signer(conn, wanted)


def _secret(deps: GatewayDeps, signer: Signer) -> bytes | None:
    return webhook_secrets.open_secret(deps.webhook_box, signer.user_id, signer.source_id, signer.box)


def _json(body: bytes) -> Any:
    try:
        return decode_json(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


async def _keep(
    deps: GatewayDeps, coalescer: Coalescer, signer: Signer, changes: list[Change], once: bytes | None
) -> bool:
    """Store them and see to a run. False: a delivery with the digest `once` was taken before."""
    async with deps.database.for_tenant(signer.user_id) as conn:
        if once is not None:
            if not await webhooks.deliver(conn, signer.source_id, signer.user_id, changes, once):
                return False
        elif changes:
            await webhooks.add_changes(conn, signer.source_id, signer.user_id, changes)
    if changes:
        coalescer.poke(signer.source_id, signer.user_id)
    return True


def _coalescer(request: Request) -> Coalescer:
    coalescer = request.app.state.coalescer
    assert isinstance(coalescer, Coalescer)
    return coalescer
