"""The call that changes tokens (RFC 6749, sections 5 and 6): what is sent, and what each answer means."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from shared.connector_sdk.credentials import basic_authorization
from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.oauth import OAuthApp, OAuthGrant, TokenReply
from shared.errors import AuthenticationError, HeadraceError, RateLimitedError, UnavailableError, UnusableBodyError
from shared.http.client import HttpAnswer
from shared.http.hop import HttpRequest
from shared.http.status import status_error

EXCHANGE_SECONDS = 15.0
"""For the whole call. What is not answered by then may still have changed the tokens."""
ASSUMED_LIFE = 3600.0
"""Of an access token whose reply does not say (RFC 6749 leaves `expires_in` open)."""
_SHORTEST_LIFE, _LONGEST_LIFE = 1.0, 10 * 365 * 86_400.0
_WRONG_APP = frozenset({"invalid_client", "unauthorized_client"})
_DESCRIPTION_CHARS = 100


class ConsentOverError(AuthenticationError):
    """`invalid_grant`: the refresh token is not good any more. Asking again with it is useless, and may do harm."""


class Exchanger(Protocol):
    """The way out to a token endpoint."""

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """The whole answer, whatever its status."""
        ...


class NoAnswerError(UnavailableError):
    """Whether the vendor has changed the tokens, nobody knows."""


async def refresh(http: Exchanger, grant: OAuthGrant, refresh_token: str) -> TokenReply:
    """New tokens for a refresh token.

    Raises ConsentOverError, AuthenticationError (the app's keys are wrong), RateLimitedError, UnavailableError and
    UnusableBodyError; of these NoAnswerError alone leaves open whether the vendor is still at it.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await _exchange(http, grant.app, grant.client_secret, form)


async def redeem(http: Exchanger, app: OAuthApp, client_secret: str, code: str, redirect_uri: str) -> TokenReply:
    """The first tokens for the code that a consent's redirect carried. Raises as `refresh` does."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return await _exchange(http, app, client_secret, form)


async def _exchange(http: Exchanger, app: OAuthApp, client_secret: str, form: Mapping[str, str]) -> TokenReply:
    request = HttpRequest(
        "POST",
        app.token_url,
        headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
        secret_headers={"Authorization": basic_authorization(app.client_id, client_secret)},
        body=urlencode(form).encode("ascii"),
    )
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS):
            answer = await http.send(request)
    except TimeoutError:
        raise NoAnswerError(f"{app.title} did not answer the sign-in within {EXCHANGE_SECONDS:g} s") from None
    except (UnavailableError, UnusableBodyError) as error:
        raise NoAnswerError(error.message, hint=error.hint) from None
    if answer.status == 200:
        return _reply(answer, app)
    raise _refusal(answer, app)


def _reply(answer: HttpAnswer, app: OAuthApp) -> TokenReply:
    fields = _fields(answer)
    access, refresh_token = fields.get("access_token"), fields.get("refresh_token")
    if not isinstance(access, str) or not access:
        raise UnusableBodyError(f"{app.title} signed us in without an access token")
    return TokenReply(
        access_token=access,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        life=_seconds(fields.get("expires_in")) or ASSUMED_LIFE,
        refresh_life=_seconds(fields.get("x_refresh_token_expires_in")),
    )


def _refusal(answer: HttpAnswer, app: OAuthApp) -> HeadraceError:
    fields = _fields(answer)
    code = fields.get("error")
    if answer.status in {400, 401, 403}:
        if code == "invalid_grant":
            said = _said(fields.get("error_description"))
            return ConsentOverError(f"{app.title} does not accept the connection any more ({said or 'invalid_grant'})")
        if code in _WRONG_APP or answer.status == 401:
            return AuthenticationError(
                f"{app.title} does not know the app: client_id or client_secret is wrong",
                hint="Compare client_id and client_secret with the app's keys in the vendor's developer portal. "
                "Development keys and production keys differ.",
            )
    error = status_error(answer.status, answer.place, retry_after=answer.retry_after, strayed=answer.strayed)
    if isinstance(error, RateLimitedError | UnavailableError):
        return error
    name = f" ({code})" if isinstance(code, str) and code.isidentifier() else ""
    return UnavailableError(f"{app.title} could not sign us in: status {answer.status}{name}")


def _fields(answer: HttpAnswer) -> dict[str, Any]:
    """The JSON object in the body; empty when there is none."""
    try:
        value = parse_json(answer.body, answer.headers.get("content-type", ""))
    except HeadraceError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if _SHORTEST_LIFE <= seconds <= _LONGEST_LIFE else None


def _said(value: Any) -> str:
    """The vendor's own word for it, if it can be shown: short, printable, and no token in it."""
    text = value if isinstance(value, str) else ""
    long_word = any(len(word) > 24 for word in text.split())
    return "" if long_word or not text.isprintable() else text[:_DESCRIPTION_CHARS].rstrip(".")
