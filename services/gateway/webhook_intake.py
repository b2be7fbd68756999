"""Webhooks in: from a signed body to events in the database. Whatever is wrong, the answer is the same."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.gateway.coalescing import Coalescer
from services.gateway.deps import GatewayDeps
from services.gateway.gathering import Gatherer
from services.gateway.models import storable_text
from services.gateway.problems import ProblemError
from services.gateway.quickbooks_events import changes_by_realm
from services.gateway.signatures import digest, generic_holds, intuit_holds
from services.gateway.webhook_signers import Known, Signers
from shared.contracts.ids import Entity, SourceId
from shared.contracts.messages import decode_json
from shared.storage import webhooks
from shared.storage.webhooks import Change, Delivery, Taken

_NOBODY = b"no source has this secret; it keeps the time of an unknown source like that of a known one"


def _text_form(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_ExternalId = Annotated[
    str,
    BeforeValidator(_text_form, json_schema_input_type=str | int),
    Field(min_length=1, max_length=500),
    AfterValidator(storable_text),
]
"""As rows hold it: the text form of what the source calls it."""


class WebhookEvent(BaseModel):
    """One change. Without `id`: something of the entity changed."""

    model_config = ConfigDict(extra="ignore")

    entity: Entity
    id: _ExternalId | None = None
    op: Literal["upsert", "delete"]


class WebhookBody(BaseModel):
    """What a sender posts."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    events: Annotated[list[WebhookEvent], Field(max_length=5_000)]


@dataclass(frozen=True, slots=True)
class SignedPost:
    """What came: the headers as text, the raw body."""

    timestamp: str
    signature: str
    body: bytes


class WebhookIntake:
    """Signatures are checked before a byte is parsed; what is accepted is in the database before it is answered."""

    def __init__(self, deps: GatewayDeps, coalescer: Coalescer) -> None:
        self._database = deps.database
        self._clock = deps.clock
        self._coalescer = coalescer
        self._signers = Signers(deps.database, deps.webhook_box, deps.clock)
        self._deliveries: Gatherer[Delivery, Taken] = Gatherer(
            lambda deliveries: webhooks.take_deliveries(deps.database, deliveries),
            weigh=lambda delivery: len(delivery.changes),
        )

    async def generic(self, source_id: str, post: SignedPost) -> int:
        """How many events were taken. Raises the 401 problem."""
        try:
            wanted = SourceId(UUID(source_id))
        except ValueError:
            raise refused() from None
        count = await self._accepted(self._signers.remembered(wanted), post)
        if count is None:  # unknown, or not any more as it is remembered: then by what is true now
            count = await self._accepted(await self._signers.look_up(wanted), post)
        if count is None:
            raise refused()
        return count

    async def quickbooks(self, client_id: str, signature: str, body: bytes) -> int:
        """How many events were taken; those of companies that no source reads are left out. Raises the 401 problem."""
        signers = [] if "\0" in client_id else await webhooks.find_app_signers(self._database, client_id)
        known = [self._signers.opened(signer) for signer in signers]
        trusted = [each for each in known if intuit_holds(each.secret if each else _NOBODY, signature, body) and each]
        if not trusted:
            intuit_holds(_NOBODY, signature, body)
            raise refused()
        try:
            by_realm = changes_by_realm(_json(body))
        except ValueError:
            raise refused() from None
        count = 0
        for each in trusted:
            offered = each.signer.entities
            changes = [change for change in by_realm.get(each.signer.realm or "", ()) if change.entity in offered]
            # Intuit sends an unanswered notification again, with the same signature: events may come twice.
            if changes and await self._deliveries.do(Delivery(each.signer, None, changes)) == "taken":
                self._coalescer.poke(each.signer.source_id)
                count += len(changes)
        return count

    async def _accepted(self, known: Known | None, post: SignedPost) -> int | None:
        """How many events were taken; None: not by what is known of the source. Raises the 401 problem."""
        secret = _NOBODY if known is None else known.secret
        if not generic_holds(secret, post.timestamp, post.signature, post.body, self._clock.unix()) or known is None:
            return None
        try:
            events = WebhookBody.model_validate(_json(post.body)).events
        except (ValidationError, ValueError):
            raise refused() from None
        if any(event.entity not in known.signer.entities for event in events):
            return None
        changes = [Change(event.entity, event.id, event.op) for event in events]
        taken = await self._deliveries.do(Delivery(known.signer, digest(post.signature), changes))
        if taken == "replayed":
            raise refused()
        if taken == "outdated":
            return None
        if changes:
            self._coalescer.poke(known.signer.source_id)
        return len(changes)


def refused() -> ProblemError:
    """The one answer to everything that is wrong: it tells nothing about which sources exist."""
    return ProblemError(
        401,
        "unauthenticated",
        "The webhook is not signed as it must be.",
        category="AUTH_FAILED",
        hint="Check the address, the secret, the time (within 5 minutes, each signature once) and the body's form.",
    )


def _json(body: bytes) -> Any:
    try:
        return decode_json(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
