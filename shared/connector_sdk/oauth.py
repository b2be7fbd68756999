"""OAuth 2.0 as a connector declares it: where tokens are asked for, what credentials must hold. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from pydantic import SecretStr

from shared.contracts.ids import SourceId, UserId
from shared.sealing.boxes import Context


@dataclass(frozen=True, slots=True)
class OAuthApp:
    """One app at one vendor, as a source's config names it."""

    title: str
    """The vendor, for messages."""
    client_id: str
    token_url: str
    account: str
    """Whose tokens these are, as the budget names it; empty while nobody has consented yet."""
    consent_url: str = ""
    """The page where a person consents; empty: consents are given elsewhere."""
    scope: str = ""
    """What the page asks for."""


@runtime_checkable
class OAuthCredentials(Protocol):
    """What a source's credentials hold. `refresh_token`: the one that the consent gave; later ones are kept apart."""

    @property
    def client_secret(self) -> SecretStr: ...

    @property
    def refresh_token(self) -> SecretStr | None: ...


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """A consent that somebody wants an access token of."""

    id: UUID
    """The same for the same tenant, account and consent: sources with one consent share its tokens and its lock."""
    user_id: UserId
    used_by: UUID
    app: OAuthApp
    client_secret: str = field(repr=False)
    first_refresh_token: str = field(repr=False)
    origins: tuple[str, ...]
    """Where its tokens may be sent: what their sealed box is bound to."""

    def context(self) -> Context:
        """Of the box of its tokens."""
        return tokens_context(self.user_id, self.id, self.origins)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """`version` counts the stored replies of its grant."""

    version: int
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenReply:
    """What the token endpoint gave. Lifetimes in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """None: the one that was shown stays good."""
    life: float
    refresh_life: float | None


def tokens_context(user_id: UserId, grant_id: UUID, origins: tuple[str, ...]) -> Context:
    """A box of tokens belongs to the consent, not to one of the sources that use it."""
    return Context(user_id, SourceId(grant_id), origins)


def reconnect_hint(title: str, since: datetime | None = None) -> str:
    """What a person does when the consent is over."""
    when = f" The connection ended on {since:%Y-%m-%d %H:%M} UTC." if since else ""
    return f"Open the source and connect to {title} again.{when}"
