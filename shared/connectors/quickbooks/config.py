"""What a `quickbooks` source is configured with, and what its credentials are. Pure."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from shared.connector_sdk.credentials import CredentialModel, Secret, sendable
from shared.connector_sdk.http_config import ConfigModel, Url
from shared.http.urls import origin, parse_url

API: Final = {
    "production": "https://quickbooks.api.intuit.com",
    "sandbox": "https://sandbox-quickbooks.api.intuit.com",
}
"""Intuit documentation, "Explore the QuickBooks Online API"."""
TOKEN_URL: Final = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"  # noqa: S105 - an address, no secret
"""Intuit documentation, OAuth 2.0: for exchange and refresh, in both environments."""
AUTHORIZE_URL: Final = "https://appcenter.intuit.com/connect/oauth2"
"""Intuit documentation, OAuth 2.0: the consent page, of both environments (the discovery documents agree)."""
SCOPE: Final = "com.intuit.quickbooks.accounting"
"""The only accounting scope; there is none that only reads (Intuit documentation, scopes)."""


def _plain_url(text: str) -> str:
    if parse_url(text).query_string:
        raise ValueError("holds a query, which an address of the vendor has not")
    return text.rstrip("/")


PlainUrl = Annotated[Url, AfterValidator(_plain_url)]


class QuickBooksConfig(ConfigModel):
    """One company in one app. `realm_id` is filled by the consent."""

    client_id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\s]+$"), AfterValidator(sendable)]
    realm_id: Annotated[str, Field(pattern=r"^[0-9]{1,30}$")] | None = None
    """The company's id, a string of digits."""
    environment: Literal["production", "sandbox"] = "production"
    base_url: PlainUrl | None = None
    """In place of the vendor's address: only where the operator allows it."""
    token_url: PlainUrl | None = None

    @property
    def api(self) -> str:
        """Where the company's data is."""
        return self.base_url or API[self.environment]

    @property
    def tokens(self) -> str:
        """Where tokens are refreshed."""
        return self.token_url or TOKEN_URL

    @property
    def consent_page(self) -> str:
        """Where a person consents: at the vendor's, or beside the tokens of whatever stands in for it."""
        beside = origin(parse_url(self.tokens))
        return AUTHORIZE_URL if beside == origin(parse_url(TOKEN_URL)) else f"{beside}/connect/oauth2"

    @property
    def account(self) -> str:
        """The company as its limits are counted; empty before the consent."""
        return f"{origin(parse_url(self.api))}|{self.realm_id}" if self.realm_id else ""


class QuickBooksCredentials(CredentialModel):
    """The app's secret, and the refresh token that the consent gave. Later tokens are kept apart, sealed."""

    client_secret: Secret
    refresh_token: Secret | None = None
