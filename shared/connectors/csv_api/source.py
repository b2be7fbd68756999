"""Reads a CSV file as a stream: one call, all records."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from shared.connector_sdk.protocol import BadRecord, Client, Connector, Page, ReadRequest, Request, Shape
from shared.connector_sdk.spec import ConnectorSpec
from shared.connector_sdk.text_body import TextBody
from shared.connectors.csv_api.config import CsvApiConfig, EntityConfig
from shared.connectors.csv_api.spec import SPEC
from shared.connectors.csv_api.table import Table
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import ConfigurationError, UnusableBodyError
from shared.http.urls import parse_url, place

SAMPLE_ROWS = 50
"""Rows that a test of the source reads before it hangs up."""
_ACCEPT = "text/csv, text/tab-separated-values, text/plain;q=0.9, */*;q=0.5"


class CsvApiSource:
    """See the port `Source`. A file has no pages: it is spooled."""

    def __init__(self, config: CsvApiConfig, client: Client) -> None:
        self._config = config
        self._client = client

    def shape(self, entity: Entity) -> Shape:  # noqa: ARG002 - the port's signature
        return "spool"

    def stable_paging(self, entity: Entity) -> bool:  # noqa: ARG002 - the port's signature
        return True

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:  # noqa: ARG002 - the port's signature
        return {"default": 1}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:  # noqa: ARG002 - the port's signature
        raise AssertionError(f"csv_api reads {request.entity} as a stream")

    async def read_all(self, request: ReadRequest) -> AsyncGenerator[RawRecord | BadRecord, None]:
        config = self._entity(request.entity)
        shown = place(parse_url(config.url))
        table = Table(config, shown)
        headers: dict[str, str] = {}
        body: TextBody | None = None
        call = Request("GET", config.url, headers={"Accept": _ACCEPT})
        async with aclosing(self._client.stream(call, on_headers=headers.update)) as chunks:
            async for chunk in chunks:
                if body is None:
                    body = TextBody(config.encoding, headers.get("content-type", ""), shown)
                for text in body.feed(chunk):
                    for record in table.feed(text):
                        yield record
        if body is None:
            raise UnusableBodyError(f"{shown} sent an empty body")
        for text in body.finish():
            for record in table.feed(text):
                yield record
        for record in table.finish():
            yield record

    async def check(self, entity: Entity) -> int:
        seen = good = 0
        async with aclosing(self.read_all(ReadRequest(entity, since=None))) as records:
            async for record in records:
                seen += 1
                good += not isinstance(record, BadRecord)
                if seen == SAMPLE_ROWS:
                    break
        return good

    def _entity(self, entity: Entity) -> EntityConfig:
        try:
            return self._config.entities[entity]
        except KeyError:
            raise ConfigurationError(f"the source has no {entity} configured") from None


class CsvApiConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def open(self, config: Mapping[str, Any], client: Client) -> CsvApiSource:
        return CsvApiSource(CsvApiConfig.model_validate(config), client)


CONNECTOR: Connector = CsvApiConnector()
