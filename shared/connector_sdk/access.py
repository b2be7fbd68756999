"""How a client proves who it is, call by call: with credentials as they stand, or with a token that has to be kept."""

from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.oauth import AccessToken, OAuthGrant
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.observability.secrets import SecretRegistry


class Access(Protocol):
    """What is added to a call."""

    async def secrets(self) -> Secrets:
        """For the next call."""
        ...

    async def renewed(self) -> Secrets | None:
        """After a 401: others, to try the call once more. None when there are none, or when that was tried before."""
        ...


class FixedAccess:
    """Credentials that need no call to be complete."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def secrets(self) -> Secrets:
        return self._secrets

    async def renewed(self) -> Secrets | None:
        return None


class TokenAccess:
    """The access token of a consent. Use as a context: while it lasts, the tokens it handed out are kept from logs."""

    def __init__(self, keeper: TokenKeeper, grant: OAuthGrant, registry: SecretRegistry) -> None:
        self._keeper = keeper
        self._grant = grant
        self._registry = registry
        self._guards = ExitStack()
        self._token: AccessToken | None = None
        self._was_renewed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guards.close()

    async def secrets(self) -> Secrets:
        """Raises as `TokenKeeper.token` does."""
        return self._with(await self._keeper.token(self._grant))

    async def renewed(self) -> Secrets | None:
        """One forced refresh in the life of a step; raises as `TokenKeeper.token` does."""
        if self._was_renewed:
            return None
        self._was_renewed = True
        return self._with(await self._keeper.token(self._grant, refused=self._token))

    def _with(self, token: AccessToken) -> Secrets:
        if token != self._token:
            self._guards.enter_context(self._registry.guarding([token.value]))
            self._token = token
        return Secrets(headers={"Authorization": f"Bearer {token.value}"})
