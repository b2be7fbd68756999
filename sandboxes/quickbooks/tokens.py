"""Who connected which company: codes, access tokens and refresh tokens with all their clocks."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.wire import QuickBooksError

SCOPE = "com.intuit.quickbooks.accounting"
DEFAULT_REALM = "9130000000000001"


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client of the vendor's: its keys, where it may send its users back to, and what signs its webhooks."""

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - of no value outside tests
    redirect_uris: tuple[str, ...] = ()
    """Exactly as registered; none: every address of this machine's loopback is registered."""
    environment: Literal["sandbox", "production"] = "sandbox"
    verifier_token: str = "sandbox-verifier"  # noqa: S105 - the same


class TokenError(Exception):
    """The token endpoint refuses: HTTP status, `error`, `error_description`."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status


@dataclass(slots=True)
class RefreshToken:
    """One value of a grant's refresh token. `replaced` is when the next value took its place."""

    generation: int
    issued: datetime
    used: datetime
    replaced: datetime | None = None


@dataclass(slots=True)
class Grant:
    """One consent: a company connected to an app. `ended` says why it is over."""

    number: int
    client_id: str
    realm: str
    consent: datetime
    values: dict[str, RefreshToken] = field(default_factory=dict)
    current: str = ""
    ended: str | None = None
    in_flight: int = 0

    @property
    def generation(self) -> int:
        """The number of the refresh token's current value, from 1."""
        return self.values[self.current].generation


@dataclass(slots=True)
class _Code:
    grant: Grant
    redirect_uri: str
    expires: datetime


@dataclass(slots=True)
class _Access:
    grant: Grant | None
    client_id: str
    realm: str
    expires: datetime | None


class Tokens:
    """All grants of one vendor."""

    def __init__(self, now: Callable[[], datetime], switches: Callable[[], Switches]) -> None:
        self._now = now
        self._switches = switches
        self.apps: dict[str, App] = {}
        self.grants: list[Grant] = []
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, _Access] = {}
        self._owners: dict[str, Grant] = {}

    def clear(self) -> None:
        """Forget every grant; the apps stay."""
        self.grants.clear()
        self._codes.clear()
        self._access.clear()
        self._owners.clear()

    def code(self, app: App, realm: str, redirect_uri: str) -> str:
        """The user consented: the code that the redirect carries, good once and for minutes."""
        grant = Grant(len(self.grants) + 1, app.client_id, realm, self._now())
        self.grants.append(grant)
        text = "XAB" + secrets.token_urlsafe(24)
        life = timedelta(seconds=self._switches().code_seconds)
        self._codes[text] = _Code(grant, redirect_uri, self._now() + life)
        return text

    def consent(self, app: App, realm: str) -> dict[str, Any]:
        """Consent and exchange in one: the reply of the token endpoint."""
        return self.redeem(app, self.code(app, realm, ""), "")[1]

    def known_consent(self, app: App, realm: str, refresh_token: str) -> None:
        """A consent whose first refresh token the caller chose: one that is the same after every start."""
        grant = Grant(len(self.grants) + 1, app.client_id, realm, self._now())
        self.grants.append(grant)
        grant.current = refresh_token
        grant.values[refresh_token] = RefreshToken(1, self._now(), self._now())
        self._owners[refresh_token] = grant

    def fixed(self, token: str, client_id: str, realm: str) -> None:
        """Let this access token in for ever."""
        self._access[token] = _Access(None, client_id, realm, None)

    def owner(self, refresh_token: str) -> Grant | None:
        """The grant that a refresh token belongs to, dead or alive."""
        return self._owners.get(refresh_token)

    def app(self, client_id: str, client_secret: str) -> App:
        """The app with these keys. TokenError when there is none."""
        app = self.apps.get(client_id)
        if app is None or not secrets.compare_digest(app.client_secret.encode(), client_secret.encode()):
            raise TokenError("invalid_client", status=401)
        return app

    def redeem(self, app: App, code: str, redirect_uri: str) -> tuple[Grant, dict[str, Any]]:
        """A code for the first tokens. TokenError when it is used, old, of another app or of another address."""
        known = self._codes.pop(code, None)
        if (
            known is None
            or known.expires <= self._now()
            or known.grant.client_id != app.client_id
            or known.redirect_uri != redirect_uri
        ):
            raise self._invalid("Invalid authorization code")
        self._rotate(known.grant)
        return known.grant, self._reply(known.grant)

    def refresh(self, app: App, value: str) -> tuple[Grant, dict[str, Any]]:
        """A refresh token for new tokens. TokenError when it is not good, or no longer."""
        grant = self._owners.get(value)
        if grant is None:
            raise self._invalid("Incorrect or invalid refresh token")
        if grant.client_id != app.client_id:
            raise self._invalid("Incorrect Token type or clientID")
        self._check(grant, value)
        token, now, switches = grant.values[grant.current], self._now(), self._switches()
        token.used = now
        # 0 hours means with every refresh, though the clock may stand still between two of them
        if now - token.issued >= timedelta(hours=switches.rotate_after_hours):
            self._rotate(grant)
        return grant, self._reply(grant)

    def _check(self, grant: Grant, value: str) -> None:
        switches, now, token = self._switches(), self._now(), grant.values[value]
        if grant.ended is not None:
            raise self._invalid("Token has been expired or revoked.")
        if grant.in_flight > 1 and switches.concurrent != "allow":
            if switches.concurrent == "revoke":
                grant.ended = "two refreshes at once"
            raise self._invalid("Incorrect or invalid refresh token")
        if now - grant.consent >= timedelta(seconds=switches.hard_expiry_seconds):
            grant.ended = "hard expiry"
        elif now - grant.values[grant.current].used >= timedelta(days=switches.refresh_days):
            grant.ended = "not used for too long"
        if grant.ended is not None:
            raise self._invalid("Token has been expired or revoked.")
        if token.replaced is not None and now - token.replaced >= timedelta(hours=switches.grace_hours):
            if switches.reuse == "revoke":
                grant.ended = "a replaced refresh token was used"
            raise self._invalid("Incorrect or invalid refresh token")

    def revoke(self, app: App, value: str) -> Grant:
        """End the connection that an access or a refresh token belongs to. TokenError when it is not the app's."""
        access = self._access.get(value)
        grant = self._owners.get(value) or (access.grant if access else None)
        if grant is None or grant.client_id != app.client_id or grant.ended is not None:
            raise TokenError("invalid_request", "Invalid token")
        grant.ended = "revoked by the app"
        return grant

    def end(self, realm: str, why: str) -> None:
        """The user ends all connections of the company."""
        for grant in self.grants:
            if grant.realm == realm and grant.ended is None:
                grant.ended = why

    def caller(self, token: str, realm: str, environment: str) -> str:
        """The client id that calls with this access token. QuickBooksError as the vendor words it when it may not."""
        switches = self._switches()
        known = self._access.get(token)
        echo = token if switches.echo_token else "<token>"
        if known is None:
            raise QuickBooksError("3200", f"Malformed bearer token: {echo}", form="fault")
        over = known.expires is not None and known.expires <= self._now()
        if over or (known.grant is not None and known.grant.ended is not None):
            raise QuickBooksError("3200", f"Token expired: {echo}", form="fault")
        if known.realm != realm:
            detail = "Error processing the request: SRV-110"
            raise QuickBooksError("100", detail, form="xml", status=switches.other_realm_status)
        if self.apps[known.client_id].environment != environment:
            raise QuickBooksError("3100", "The app's keys are for another environment than the company.")
        return known.client_id

    def _rotate(self, grant: Grant) -> None:
        now = self._now()
        generation = 1
        if grant.current:
            old = grant.values[grant.current]
            old.replaced = now
            generation = old.generation + 1
        grant.current = f"RT1-{grant.number}-{generation}-{secrets.token_urlsafe(24)}"
        grant.values[grant.current] = RefreshToken(generation, now, now)
        self._owners[grant.current] = grant

    def _reply(self, grant: Grant) -> dict[str, Any]:
        switches, now = self._switches(), self._now()
        access = "eyJ" + secrets.token_urlsafe(48)
        expires = now + timedelta(seconds=switches.access_seconds)
        self._access[access] = _Access(grant, grant.client_id, grant.realm, expires)
        hard = switches.hard_expiry_seconds - int((now - grant.consent).total_seconds())
        return {
            "token_type": "bearer",
            "access_token": access,
            "expires_in": switches.access_seconds,
            "refresh_token": grant.current,
            "x_refresh_token_expires_in": min(switches.refresh_seconds_said, hard),
            "x_refresh_token_hard_expires_in": hard,
        }

    def _invalid(self, description: str) -> TokenError:
        return TokenError("invalid_grant", description if self._switches().error_description else "")
