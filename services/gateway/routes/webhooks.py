"""Webhooks: their signing secrets, and where they come in."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from services.gateway import webhook_secrets
from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.document import raw_operation
from services.gateway.once import IdempotencyKey, Outcome, once
from services.gateway.problems import FieldError, invalid, not_found
from services.gateway.webhook_intake import SignedPost, WebhookBody, WebhookIntake
from shared.contracts.ids import SourceId
from shared.storage import webhooks
from shared.storage.audit import record
from shared.storage.database import Connection
from shared.storage.sources import lock_source

router = APIRouter(tags=["webhooks"])
_TIMESTAMP, _SIGNATURE, _INTUIT = "X-Headrace-Timestamp", "X-Headrace-Signature", "intuit-signature"


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


@router.post("/api/sources/{source_id}/webhook-secret", status_code=201, response_model=WebhookSecret)
async def make_secret(
    source_id: SourceId,
    request: Request,
    identity: CurrentIdentity,
    deps: Deps,
    body: SecretAsked | None = None,
    key: IdempotencyKey = None,
) -> Response:
    """Make or replace the signing secret of a source's webhooks; the old one signs nothing any more."""
    given = body.verifier_token if body else None

    async def work(conn: Connection) -> Outcome:
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
            return Outcome(201, WebhookSecret(path=f"/webhooks/quickbooks/{source.config['client_id']}", secret=None))
        return Outcome(201, WebhookSecret(path=f"/webhooks/{source_id}", secret=secret), secret=True)

    return await once(deps, identity, request, key, work)


def posts(intake: WebhookIntake) -> list[Route]:
    """Where webhooks come in: matched first and without the framework's reading of parameters and models.

    At hundreds of posts a second that costs more than the work itself.
    """

    async def generic(request: Request) -> Response:
        headers = request.headers
        post = SignedPost(headers.get(_TIMESTAMP, ""), headers.get(_SIGNATURE, ""), await request.body())
        return _accepted(await intake.generic(request.path_params["source_id"], post), 202)

    async def quickbooks(request: Request) -> Response:
        signature, body = request.headers.get(_INTUIT, ""), await request.body()
        return _accepted(await intake.quickbooks(request.path_params["client_id"], signature, body), 200)

    return [
        Route("/webhooks/{source_id}", generic, methods=["POST"], name="webhooks_generic"),
        Route("/webhooks/quickbooks/{client_id}", quickbooks, methods=["POST"], name="webhooks_quickbooks"),
    ]


def _accepted(count: int, status: int) -> Response:
    return Response(b'{"accepted":%d}' % count, status, media_type="application/json")


OPERATIONS: Final = {
    "/webhooks/{source_id}": raw_operation(
        "webhooks_generic",
        'Take `{"events":[{"entity","id"?,"op":"upsert"|"delete"}]}`, signed with the source\'s secret.',
        path="source_id",
        headers=(_TIMESTAMP, _SIGNATURE),
        body=WebhookBody,
        answer=(202, WebhookAccepted),
    ),
    "/webhooks/quickbooks/{client_id}": raw_operation(
        "webhooks_quickbooks",
        "Take a vendor's notification in either form; events of companies that no source reads are left out.",
        path="client_id",
        headers=(_INTUIT,),
        answer=(200, WebhookAccepted),
    ),
}
"""What the document says of `posts`."""
