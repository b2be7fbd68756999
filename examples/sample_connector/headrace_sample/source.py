"""Reads the sample shop: items page by page, suppliers as one stream of JSON lines."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from headrace_sample.config import SampleConfig
from headrace_sample.spec import SPEC
from shared.connector_sdk.public import (
    BadRecord,
    Client,
    Connector,
    ConnectorSpec,
    Cursor,
    CursorPaging,
    DataError,
    Entity,
    Page,
    PageAnswer,
    RawRecord,
    ReadRequest,
    Request,
    Shape,
    UnusableBodyError,
    parse_json,
)

MAX_LINE_BYTES = 1_000_000
SAMPLE_LINES = 20
_PAGING = CursorPaging("after", lambda body: body.get("next"))


class SampleSource:
    """See the port `Source`."""

    def __init__(self, config: SampleConfig, client: Client) -> None:
        self._config = config
        self._client = client

    def shape(self, entity: Entity) -> Shape:
        """Items have pages; suppliers are one file."""
        return "pages" if entity == "inventory" else "spool"

    def stable_paging(self, entity: Entity) -> bool:  # noqa: ARG002 - the port's signature
        """The cursor is an id: nothing is skipped when others vanish."""
        return True

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:  # noqa: ARG002 - the port's signature
        """One call each."""
        return {"default": 1}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        """One page of items."""
        params = (*_PAGING.target(cursor).params, ("limit", str(self._config.page_size)))
        if request.since is not None:
            params = (*params, ("since", request.since.isoformat()))
        response = await self._client.send(Request("GET", f"{self._config.base_url}/items", params=params))
        body = parse_json(response.body, response.headers.get("content-type", ""))
        if not isinstance(body, dict) or not isinstance(body.get("items"), list):
            raise DataError("the shop's answer holds no list `items`")
        records: list[RawRecord] = body["items"]
        answer = PageAnswer(body, records, response.headers, response.url, response.secret_params)
        return Page(records, _PAGING.following(cursor, answer), len(response.body))

    async def read_all(self, request: ReadRequest) -> AsyncGenerator[RawRecord | BadRecord, None]:
        """The suppliers, as their lines come."""
        rest = b""
        call = Request("GET", f"{self._config.base_url}/{request.entity}.jsonl")
        async with aclosing(self._client.stream(call)) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield _record(line)
                if len(rest) > MAX_LINE_BYTES:
                    raise DataError(f"a line of the shop's file is longer than {MAX_LINE_BYTES:,} bytes")
        if rest:
            yield _record(rest)

    async def check(self, entity: Entity) -> int:
        """The first page, or the first lines."""
        if self.shape(entity) == "pages":
            return len((await self.read_page(ReadRequest(entity, since=None), None)).records)
        seen = 0
        async with aclosing(self.read_all(ReadRequest(entity, since=None))) as records:
            async for _ in records:
                seen += 1
                if seen == SAMPLE_LINES:
                    break
        return seen


def _record(line: bytes) -> RawRecord | BadRecord:
    try:
        value = parse_json(line)
    except (DataError, UnusableBodyError) as error:
        return BadRecord(line.decode(errors="replace"), error.message)
    return value if isinstance(value, dict) else BadRecord(line.decode(errors="replace"), "the line is no object")


class SampleConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def open(self, config: Mapping[str, Any], client: Client) -> SampleSource:
        """`config` as validated by the spec."""
        return SampleSource(SampleConfig.model_validate(config), client)


CONNECTOR: Connector = SampleConnector()
