"""Reads any JSON API by its configuration: one call, one page."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_never

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.paging import (
    CursorPaging,
    LinkPaging,
    NoPaging,
    NumberedPaging,
    PageAnswer,
    Pager,
    Path,
    Target,
    announced_total,
)
from shared.connector_sdk.protocol import Client, Connector, Page, ReadRequest, Request, Shape
from shared.connector_sdk.spec import ConnectorSpec
from shared.connectors.json_api.config import (
    CursorPagination,
    EntityConfig,
    JsonApiConfig,
    LinkPagination,
    NonePagination,
    OffsetPagination,
    PagePagination,
)
from shared.connectors.json_api.since import write_since
from shared.connectors.json_api.spec import SPEC
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import ConfigurationError, DataError
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import compile_expression
from shared.expressions.values import type_name


class JsonApiSource:
    """See the port `Source`. Every kind of paging is read page by page; `none` is one page."""

    def __init__(self, config: JsonApiConfig, client: Client) -> None:
        self._config = config
        self._client = client

    def shape(self, entity: Entity) -> Shape:  # noqa: ARG002 - the port's signature
        return "pages"

    def stable_paging(self, entity: Entity) -> bool:
        return self._entity(entity).pagination.type not in {"page", "offset"}

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:  # noqa: ARG002 - the port's signature
        return {"default": 1}

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        config = self._entity(request.entity)
        pager = _pager(config)
        target = pager.target(cursor)
        response = await self._client.send(_request(config, target, request))
        body = parse_json(response.body, response.headers.get("content-type", ""))
        records = _records(body, config.records_path)
        answer = PageAnswer(body, records, response.headers, response.url, response.secret_params)
        return Page(
            records=records,
            next_cursor=pager.following(cursor, answer),
            bytes=len(response.body),
            total=announced_total(body, response.headers),
        )

    def read_all(self, request: ReadRequest) -> AsyncIterator[RawRecord]:
        raise NotImplementedError(f"json_api reads {request.entity} in pages")

    async def check(self, entity: Entity) -> int:
        page = await self.read_page(ReadRequest(entity, since=None), cursor=None)
        return len(page.records)

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
    if target.url is not None:
        return Request(config.method, target.url, headers=headers)
    params = dict(config.params)
    if read.since is not None and config.updated_since_param is not None:
        params[config.updated_since_param] = write_since(read.since, config.updated_since_format)
    params |= dict(target.params)
    return Request(config.method, config.url, params=tuple(params.items()), headers=headers)


def _pager(config: EntityConfig) -> Pager:
    match config.pagination:
        case NonePagination():
            return NoPaging()
        case PagePagination() as paging:
            return NumberedPaging(
                paging.page_param, paging.size_param, paging.page_size, start=paging.start, by_offset=False
            )
        case OffsetPagination() as paging:
            return NumberedPaging(paging.offset_param, paging.limit_param, paging.page_size, start=0, by_offset=True)
        case CursorPagination() as paging:
            return CursorPaging(paging.cursor_param, _path(paging.cursor_path, "cursor_path"))
        case LinkPagination() as paging:
            path = None if paging.next_path is None else _path(paging.next_path, "next_path")
            return LinkPaging(config.url, path)
        case _ as never:
            assert_never(never)


def _path(text: str, name: str) -> Path:
    compiled = compile_expression(text)

    def find(body: Any) -> Any:
        try:
            return compiled.get(body)
        except ExpressionError as error:
            raise DataError(f"{name} does not fit the answer: {error}") from None

    return find


def _records(body: Any, records_path: str | None) -> list[RawRecord]:
    found = body if records_path is None else _path(records_path, "records_path")(body)
    place = "the answer" if records_path is None else "records_path"
    if not isinstance(found, list):
        hint = "Set records_path to where the list is." if records_path is None else "Check records_path."
        raise DataError(f"{place} holds {type_name(found)} where a list of objects was due", hint=hint)
    for position, record in enumerate(found):
        if not isinstance(record, dict):
            raise DataError(f"{place} holds a list whose element {position} is {type_name(record)}, not an object")
    return found
