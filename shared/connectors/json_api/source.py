"""Reads any JSON API by its configuration: one call, one page."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, assert_never

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.paging import (
    CursorPaging,
    LinkPaging,
    NumberedPaging,
    PageAnswer,
    Pager,
    Target,
    announced_total,
    is_past_the_end,
)
from shared.connector_sdk.protocol import BadRecord, Client, Connector, Page, ReadRequest, Request, Shape
from shared.connector_sdk.spec import ConnectorSpec
from shared.connectors.json_api import by_id
from shared.connectors.json_api.config import (
    CursorPagination,
    EntityConfig,
    JsonApiConfig,
    LinkPagination,
    NonePagination,
    OffsetPagination,
    PagePagination,
)
from shared.connectors.json_api.records import answer_path, keys_of, records_of
from shared.connectors.json_api.since import write_since
from shared.connectors.json_api.spec import SPEC
from shared.connectors.json_api.whole import read_whole
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import ConfigurationError, HeadraceError

SAMPLE_RECORDS = 50
"""Records that a test of a source without pages reads before it hangs up."""


class JsonApiSource:
    """See the port `Source`. Every kind of paging is read page by page; without one the answer is spooled."""

    def __init__(self, config: JsonApiConfig, client: Client) -> None:
        self._config = config
        self._client = client

    def shape(self, entity: Entity) -> Shape:
        return "spool" if self._entity(entity).pagination.type == "none" else "pages"

    def stable_paging(self, entity: Entity) -> bool:
        return self._entity(entity).pagination.type not in {"page", "offset"}

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:  # noqa: ARG002 - the port's signature
        return {"default": 1}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        config = self._entity(request.entity)
        if request.ids is not None:
            return await self._read_one(config, request.ids, int(cursor or 0))
        try:
            return await self._read_paged(config, request, cursor)
        except HeadraceError as error:
            if not is_past_the_end(cursor, error):
                raise
            return Page(records=[], next_cursor=None, bytes=0)

    async def _read_paged(self, config: EntityConfig, request: ReadRequest, cursor: Cursor) -> Page:
        pager = _pager(config)
        target = pager.target(cursor)
        response = await self._client.send(_request(config, target, request))
        body = parse_json(response.body, response.headers.get("content-type", ""))
        records = records_of(body, config.records_path)
        keys = keys_of(records, config.id_path)
        answer = PageAnswer(body, records, response.headers, response.url, response.secret_params, keys)
        return Page(
            records=records,
            next_cursor=pager.following(cursor, answer),
            bytes=len(response.body),
            total=announced_total(body, response.headers),
        )

    async def _read_one(self, config: EntityConfig, ids: tuple[str, ...], at: int) -> Page:
        """A page is one id, and the cursor the place among them: each call is a step, and paid for, by itself."""
        external_id = ids[at]
        following = at + 1 if at + 1 < len(ids) else None
        if config.by_id_url is None:
            raise ConfigurationError("by_id_url is not configured", hint="Add it, or sync the source.")
        headers = {"Accept": "application/json"} | config.headers
        try:
            response = await self._client.send(
                Request("GET", by_id.address(config.by_id_url, external_id), headers=headers)
            )
        except HeadraceError as error:
            if error.status not in by_id.GONE:
                raise
            return Page(records=[], next_cursor=following, bytes=0, deletions=(external_id,))
        body = parse_json(response.body, response.headers.get("content-type", ""))
        record = by_id.record_of(body, config, external_id)
        return Page(
            records=[] if record is None else [record],
            next_cursor=following,
            bytes=len(response.body),
            deletions=(external_id,) if record is None else (),
        )

    async def read_all(self, request: ReadRequest) -> AsyncGenerator[RawRecord | BadRecord, None]:
        config = self._entity(request.entity)
        call = _request(config, Target(), request)
        async with aclosing(read_whole(self._client, call, config.records_path)) as records:
            async for record in records:
                yield record

    async def check(self, entity: Entity) -> int:
        request = ReadRequest(entity, since=None)
        if self.shape(entity) == "pages":
            return len((await self.read_page(request, cursor=None)).records)
        seen = 0
        async with aclosing(self.read_all(request)) as records:
            async for record in records:
                seen += not isinstance(record, BadRecord)
                if seen == SAMPLE_RECORDS:
                    break
        return seen

    def _entity(self, entity: Entity) -> EntityConfig:
        try:
            return self._config.entities[entity]
        except KeyError:
            raise ConfigurationError(f"the source has no {entity} configured") from None


class JsonApiConnector:
    """See the port `Connector`."""

    spec: ConnectorSpec = SPEC

    def open(self, config: Mapping[str, Any], client: Client) -> JsonApiSource:
        return JsonApiSource(JsonApiConfig.model_validate(config), client)


CONNECTOR: Connector = JsonApiConnector()


def _request(config: EntityConfig, target: Target, read: ReadRequest) -> Request:
    headers = {"Accept": "application/json"} | config.headers
    paging = config.pagination
    by_header = isinstance(paging, LinkPagination) and paging.next_path is None
    if target.url is not None:
        return Request(config.method, target.url, headers=headers, goes_on_by_header=by_header)
    params = dict(config.params)
    if read.since is not None and config.updated_since_param is not None:
        params[config.updated_since_param] = write_since(read.since, config.updated_since_format)
    params |= dict(target.params)
    return Request(
        config.method, config.url, params=tuple(params.items()), headers=headers, goes_on_by_header=by_header
    )


def _pager(config: EntityConfig) -> Pager:
    match config.pagination:
        case NonePagination():
            raise AssertionError("json_api reads an answer without pages as a stream")
        case PagePagination() as paging:
            return NumberedPaging(
                paging.page_param, paging.size_param, paging.page_size, start=paging.start, by_offset=False
            )
        case OffsetPagination() as paging:
            return NumberedPaging(paging.offset_param, paging.limit_param, paging.page_size, start=0, by_offset=True)
        case CursorPagination() as paging:
            return CursorPaging(paging.cursor_param, answer_path(paging.cursor_path, "cursor_path"))
        case LinkPagination() as paging:
            path = None if paging.next_path is None else answer_path(paging.next_path, "next_path")
            return LinkPaging(config.url, path)
        case _ as never:
            assert_never(never)
