"""A consent at a vendor's page: how it begins, and what is done with what the browser brings back."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from pydantic import ValidationError

from services.gateway.asking import NoReply, ask
from services.gateway.browser_bond import Bond
from services.gateway.deps import GatewayDeps
from services.gateway.identity import Identity
from services.gateway.problems import FieldError, ProblemError, invalid
from services.gateway.source_rules import JsonObject, check_addresses, spec_of
from services.gateway.starting import living_source
from shared.connector_sdk.oauth import OAuthApp
from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import SourceId
from shared.contracts.messages import ConsentReply, ConsentRequested
from shared.errors import HeadraceError
from shared.observability.logging import get_logger
from shared.sealing.boxes import Context
from shared.storage import consents, sources
from shared.storage.consents import Begun

SOURCE_TYPE: Final = "quickbooks"
MAX_CHARS = 2_000
"""Of a code or a state that is looked at."""
_ERROR = re.compile(r"[a-z_]{1,40}")
_PERSON_MUST_ACT: Final = ("AUTH_FAILED", "CONFIG_ERROR", "DATA_ERROR")
_AGAIN = "Open the source and connect it again."

_log = get_logger("gateway")


@dataclass(frozen=True, slots=True)
class Returned:
    """What the vendor's redirect carries. All of it comes from outside."""

    state: str = field(repr=False)
    code: str = field(repr=False)
    realm: str
    error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the person is told. `status`: of HTTP."""

    status: int
    message: str
    hint: str = ""
    used: bool = True
    """Whether the state was ours. If not, the consent that this browser may have begun goes on."""


async def begin_consent(
    deps: GatewayDeps, identity: Identity, bond: Bond, source_id: SourceId, redirect_uri: str
) -> str:
    """The address of the vendor's page, with a state that is good once. Raises 404 and 422 problems."""
    state = secrets.token_urlsafe(32)
    async with deps.database.for_tenant(identity.user_id) as conn:
        source = await living_source(conn, source_id)
        if source.source_type != SOURCE_TYPE:
            detail = "the source is not of QuickBooks, so there is nothing to consent to"
            raise invalid([FieldError(pointer="source_id", detail=detail)])
        spec = spec_of(deps.specs, source.source_type)
        check_addresses(spec, source.config, deps.egress)
        app = _app(spec, source.config)
        await consents.begin(conn, identity.user_id, Begun(source_id, redirect_uri, identity.actor), state, bond.secret)
    query = {
        "client_id": app.client_id,
        "response_type": "code",
        "scope": app.scope,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    return f"{app.consent_url}?{urlencode(query)}"


async def finish_consent(deps: GatewayDeps, bonds: Iterable[Bond], returned: Returned) -> Outcome:
    """Have the code exchanged and stored. Raises PlatformAwayError."""
    for bond in bonds if 0 < len(returned.state) <= MAX_CHARS else ():
        async with deps.database.for_tenant(bond.user_id) as conn:
            begun = await consents.take_state(conn, returned.state, bond.secret)
        if begun is not None:
            return await _returned(deps, bond, begun, returned)
    return Outcome(
        400,
        "This connection was not begun here, was used already, or took longer than ten minutes.",
        "Open the source and connect it again, in one browser and signed in as the same person.",
        used=False,
    )


async def _returned(deps: GatewayDeps, bond: Bond, begun: Begun, returned: Returned) -> Outcome:
    if returned.error == "access_denied":
        return Outcome(400, "The connection was not allowed at the vendor's page; nothing was changed.", _AGAIN)
    if returned.error:
        name = f" ({returned.error})" if _ERROR.fullmatch(returned.error) else ""
        hint = "Compare the app's redirect address and keys in the vendor's developer portal, then connect again."
        return Outcome(400, f"The vendor refused the connection{name}.", hint)
    if not 0 < len(returned.code) <= MAX_CHARS:
        return Outcome(400, "The vendor sent no code that can be used.", _AGAIN)
    try:
        return await _exchanged(deps, bond, begun, returned)
    except ProblemError as problem:
        return Outcome(problem.body.status, problem.body.detail, problem.body.hint)


async def _exchanged(deps: GatewayDeps, bond: Bond, begun: Begun, returned: Returned) -> Outcome:
    consent_id = uuid4()
    async with deps.database.for_tenant(bond.user_id) as conn:
        source = await living_source(conn, begun.source_id)
        renewed: JsonObject = {**source.config, "realm_id": returned.realm}
        spec = spec_of(deps.specs, source.source_type)
        try:
            spec.config.validate_python(renewed)
        except ValidationError:
            return Outcome(400, "The vendor did not say which company it is.", _AGAIN)
        moved = source.config.get("realm_id") not in (None, returned.realm)
        if moved and await sources.active_run_ids(conn, source.id):
            # It would use the new consent beside the runs to come, as another's: two refreshes at once can end it.
            return Outcome(409, "A run still reads another company.", "Let it end, or cancel it; then connect again.")
        context = Context(bond.user_id, SourceId(consent_id), spec.origins(renewed))
        box = deps.sealing.seal(returned.code.encode(), context)
        await consents.insert_code(conn, consent_id, bond.user_id, begun, {**box}, source.config, renewed)
    reply = await ask(deps, "probe", ConsentRequested(consent_id=consent_id), ConsentReply)
    if isinstance(reply, NoReply):  # the row stays: the exchange may still come through
        return Outcome(504, reply.message, "Look at the source in a minute; if it is not connected, connect it again.")
    await _forget(deps, bond, consent_id)
    if reply.ok:
        return Outcome(200, reply.message)
    return Outcome(400 if reply.category in _PERSON_MUST_ACT else 502, reply.message, reply.hint or _AGAIN)


def _app(spec: ConnectorSpec, config: JsonObject) -> OAuthApp:
    assert spec.oauth is not None  # the connector of these routes has consents
    return spec.oauth(config)


async def _forget(deps: GatewayDeps, bond: Bond, consent_id: UUID) -> None:
    try:
        async with deps.database.for_tenant(bond.user_id) as conn:
            await consents.remove_code(conn, consent_id)
    except HeadraceError as error:  # it expires by itself
        _log.info("code_left_to_retention", reason=error.message)
