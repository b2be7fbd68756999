"""What a `json_api` source is configured with. Pure; everything that can be wrong is said before the first call."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from shared.connector_sdk.credentials import header_name, sendable
from shared.connector_sdk.http_config import ConfigModel, ExpressionText, PathText, Url, public_url, refuse_secret_name
from shared.connectors.json_api.since import DEFAULT_FORMAT, check_format
from shared.contracts.ids import Entity

ID_PLACE = "{id}"


def _by_id_url(text: str) -> str:
    if text.count(ID_PLACE) != 1:
        raise ValueError(f"must hold {ID_PLACE} once, where the id goes")
    if text.find(ID_PLACE) < _path_start(text):
        raise ValueError(f"{ID_PLACE} belongs into the path or the query")
    public_url(text.replace(ID_PLACE, "0"))
    return text


def _path_start(text: str) -> int:
    """Where the host has ended."""
    after_scheme = text.find("//") + 2
    return min((at for at in (text.find(mark, after_scheme) for mark in "/?#") if at >= 0), default=len(text))


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        try:
            header_name(name)
            sendable(value)
        except ValueError as error:
            raise ValueError(f"the header {name!r} {error}") from None
        refuse_secret_name(name, "the header")
    return headers


def _params(params: dict[str, str]) -> dict[str, str]:
    for name, value in params.items():
        refuse_secret_name(sendable(name), "the parameter")
        sendable(value)
    return params


ByIdUrl = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_by_id_url)]
ParamName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(sendable)]
PageSize = Annotated[int, Field(ge=1, le=100_000)]


class NonePagination(ConfigModel):
    """The whole collection in one answer."""

    type: Literal["none"] = "none"


class PagePagination(ConfigModel):
    """By page number."""

    type: Literal["page"]
    page_param: ParamName
    size_param: ParamName | None = None
    page_size: PageSize | None = None
    """Records of a full page. The read ends at an empty page, or behind a shorter one; see the connector's README."""
    start: Annotated[int, Field(ge=0, le=1)] = 1

    @model_validator(mode="after")
    def _size_is_known(self) -> "PagePagination":
        if self.size_param is not None and self.page_size is None:
            raise ValueError("size_param needs a page_size to send")
        return self


class OffsetPagination(ConfigModel):
    """By how many records to skip."""

    type: Literal["offset"]
    offset_param: ParamName
    limit_param: ParamName
    page_size: PageSize


class CursorPagination(ConfigModel):
    """By a cursor that each answer gives for the next."""

    type: Literal["cursor"]
    cursor_param: ParamName
    cursor_path: ExpressionText


class LinkPagination(ConfigModel):
    """By the next page's URL, out of the body (`next_path`) or of the Link header."""

    type: Literal["link"]
    next_path: ExpressionText | None = None


Pagination = Annotated[
    NonePagination | PagePagination | OffsetPagination | CursorPagination | LinkPagination, Field(discriminator="type")
]


class EntityConfig(ConfigModel):
    """Where one entity is, how it is paged, and what its records are known by."""

    url: Url
    method: Literal["GET", "POST"] = "GET"
    """With POST all parameters stay in the query, and the body is empty."""
    headers: Annotated[dict[str, str], Field(max_length=50), AfterValidator(_headers)] = Field(default_factory=dict)
    params: Annotated[dict[str, str], Field(max_length=50), AfterValidator(_params)] = Field(default_factory=dict)
    records_path: ExpressionText | None = None
    id_path: PathText
    filter: ExpressionText | None = None
    updated_at_path: PathText | None = None
    updated_since_param: ParamName | None = None
    updated_since_format: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_format)] = (
        DEFAULT_FORMAT
    )
    by_id_url: ByIdUrl | None = None
    pagination: Pagination = NonePagination()

    @field_validator("params", mode="before")
    @classmethod
    def _plain_values(cls, params: Any) -> Any:
        """`{"limit": 50, "active": true}` is what people write; in a query both are text."""
        if not isinstance(params, dict):
            return params
        return {name: _query_text(value) for name, value in params.items()}


class JsonApiConfig(ConfigModel):
    """A source: at least one entity."""

    entities: Annotated[dict[Entity, EntityConfig], Field(min_length=1)]


def _query_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | Decimal) else value
