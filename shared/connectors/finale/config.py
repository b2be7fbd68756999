"""The configuration and credentials of `finale_inventory`. Pure."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from shared.connector_sdk.credentials import CredentialModel, Secret, Secrets, basic_authorization
from shared.connector_sdk.http_config import ConfigModel, Url
from shared.connectors.finale.report_urls import ReportUrls, check_home
from shared.http.urls import parse_url

VENDOR_URL = "https://app.finaleinventory.com"


def _origin_only(text: str) -> str:
    url = parse_url(text)
    if url.raw_path not in ("", "/") or url.query_string:
        raise ValueError("is scheme, host and port only: the account has its own field")
    return str(url.origin())


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone: use an IANA name, as America/New_York") from None
    return name


class FinaleConfig(ConfigModel):
    """One account of Finale Inventory."""

    account: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """The first part of the path after sign-in: app.finaleinventory.com/<account>/..."""
    time_zone: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_zone)] = "UTC"
    """IANA zone of the account: Finale's times carry none."""
    base_url: Annotated[Url, AfterValidator(_origin_only)] = VENDOR_URL
    """Another server than the vendor's, where the operator allows it."""

    report_urls: ReportUrls = Field(default_factory=dict)
    """By entity, the address of a report of Finale: read in the place of what REST gives record by record."""

    @model_validator(mode="after")
    def _own_reports(self) -> "FinaleConfig":
        check_home(self.report_urls, self.account, self.base_url)
        return self


class FinaleCredentials(CredentialModel):
    """An API key and its secret, for HTTP Basic (Finale documentation, authentication)."""

    api_key: Annotated[Secret, Field(max_length=1_000)]
    api_secret: Secret

    def secrets(self) -> Secrets:
        value = basic_authorization(self.api_key.get_secret_value(), self.api_secret.get_secret_value())
        return Secrets(headers={"Authorization": value})
