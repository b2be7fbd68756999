"""A company of Intuit's own sandbox, read and never written."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from vendor_shell import calling, chosen, of_shell

from services.transformer.engine import compile_mapping
from shared.connector_sdk.conformance.workbench import Ledger
from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import ReadRequest, Source
from shared.connectors.quickbooks.source import CONNECTOR
from shared.contracts.ids import ENTITIES, Entity
from shared.errors import AuthenticationError
from shared.http.client import HttpClient

pytestmark = [pytest.mark.vendor, pytest.mark.timeout(300)]
NAMES = ("INTUIT_REALM_ID", "INTUIT_ACCESS_TOKEN")


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with calling() as client:
        yield client


def opened(http: HttpClient, realm: str, token: str) -> tuple[Source, dict[str, Any]]:
    """With an access token of an hour, so that no refresh token is spent and lost here."""
    config = {"client_id": "none", "realm_id": realm, "environment": "sandbox"}
    if (base := chosen("INTUIT_BASE_URL")) is not None:
        config["base_url"] = base
    CONNECTOR.spec.config.validate_python(config)
    client = MeteredClient(http, Secrets(headers={"Authorization": f"Bearer {token}"}), Ledger())
    return CONNECTOR.open(config, client), config


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_first_page_becomes_rows(http: HttpClient, entity: Entity) -> None:
    source, config = opened(http, *of_shell(*NAMES))
    assert await source.check(entity) >= 0
    page = await source.read_page(ReadRequest(entity, None), None)
    print(f"\n{len(page.records)} {entity} on the first page")
    mapped = compile_mapping(entity, CONNECTOR.spec.mapping(config, entity, {})).apply(page.records)
    assert [f"{reject.field}: {reject.reason}" for reject in mapped.rejects][:3] == []
    assert len({row.external_id for row in mapped.rows}) == len(mapped.rows)


async def test_a_wrong_token_is_refused(http: HttpClient) -> None:
    realm, _ = of_shell(*NAMES)
    source, _ = opened(http, realm, "wrong")
    with pytest.raises(AuthenticationError):
        await source.check("inventory")
