"""What a source of the sample shop is configured with."""

from typing import Annotated

from pydantic import Field

from shared.connector_sdk.public import ConfigModel, CredentialModel, Secret, Secrets, Url


class SampleConfig(ConfigModel):
    """Where the shop is."""

    base_url: Url
    page_size: Annotated[int, Field(ge=1, le=500)] = 100


class SampleCredentials(CredentialModel):
    """The shop's key."""

    key: Secret

    def secrets(self) -> Secrets:
        """Sent with every call."""
        return Secrets(headers={"X-Shop-Key": self.key.get_secret_value()})
