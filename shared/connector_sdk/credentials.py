"""How a source proves who it is: credential forms as models, and what each adds to a call. Pure."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, model_validator

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_RESERVED_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "expect", "proxy-authorization", "proxy-connection", "keep-alive"}
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What credentials add to a call; kept apart from all that may be shown."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


@runtime_checkable
class Credentials(Protocol):
    """A connector's validated credentials, where they are complete as they stand (no token to fetch first)."""

    def secrets(self) -> Secrets: ...


def apply(credentials: Credentials) -> Secrets:
    """Secret headers and parameters of every call."""
    return credentials.secrets()


def credentials_set(credentials: Mapping[str, Any]) -> list[str]:
    """Names, never values, of the secrets in credentials as the API took them; an api_key's place is no secret."""
    plain = {"type", "header", "query"} if credentials.get("type") == "api_key" else {"type"}
    return sorted(name for name, value in credentials.items() if name not in plain and value not in (None, "", {}))


def canonical(credentials: Mapping[str, Any]) -> bytes:
    """What is sealed: one spelling, so that equal credentials share an account's budget."""
    return json.dumps(credentials, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def header_name(name: str) -> str:
    """Validator: a header of the caller's choice. Raises ValueError for one that the client itself writes."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("is not a header name")
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError("is a header that the client writes itself")
    return name


def sendable(value: str) -> str:
    """Validator: text that can travel in a header or query. A line break would be a header of its own."""
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ValueError("holds a line break or another control character")
    return value


def _sendable_secret(value: SecretStr) -> SecretStr:
    sendable(value.get_secret_value())
    return value


Secret = Annotated[SecretStr, Field(min_length=1, max_length=8_000), AfterValidator(_sendable_secret)]
"""One secret value."""
HeaderName = Annotated[str, AfterValidator(header_name)]
ParamName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(sendable)]


class CredentialModel(BaseModel):
    """Base of credential forms: no input in errors, no value in repr or dump."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NoCredentials(CredentialModel):
    """A public address."""

    type: Literal["none"]

    def secrets(self) -> Secrets:
        return Secrets()


class BearerCredentials(CredentialModel):
    """`Authorization: Bearer …`"""

    type: Literal["bearer"]
    token: Secret

    def secrets(self) -> Secrets:
        return Secrets(headers={"Authorization": f"Bearer {self.token.get_secret_value()}"})


class BasicCredentials(CredentialModel):
    """`Authorization: Basic …` (UTF-8, RFC 7617)."""

    type: Literal["basic"]
    username: Annotated[str, Field(max_length=1_000, pattern=r"^[^:]*$"), AfterValidator(sendable)]
    password: Annotated[SecretStr, Field(max_length=8_000), AfterValidator(_sendable_secret)]

    def secrets(self) -> Secrets:
        return Secrets(headers={"Authorization": basic_authorization(self.username, self.password.get_secret_value())})


class ApiKeyCredentials(CredentialModel):
    """A key in a header or a query parameter of the vendor's choice: exactly one of them."""

    type: Literal["api_key"]
    header: HeaderName | None = None
    query: ParamName | None = None
    value: Secret

    @model_validator(mode="after")
    def _one_place(self) -> "ApiKeyCredentials":
        if (self.header is None) == (self.query is None):
            raise ValueError("an api_key goes into either `header` or `query`")
        return self

    def secrets(self) -> Secrets:
        value = self.value.get_secret_value()
        if self.header is not None:
            return Secrets(headers={self.header: value})
        return Secrets(params={str(self.query): value})


class HeaderCredentials(CredentialModel):
    """Several secret headers."""

    type: Literal["headers"]
    headers: Annotated[dict[HeaderName, Secret], Field(min_length=1, max_length=20)]

    def secrets(self) -> Secrets:
        return Secrets(headers={name: value.get_secret_value() for name, value in self.headers.items()})


class QueryCredentials(CredentialModel):
    """Several secret query parameters."""

    type: Literal["query"]
    params: Annotated[dict[ParamName, Secret], Field(min_length=1, max_length=20)]

    def secrets(self) -> Secrets:
        return Secrets(params={name: value.get_secret_value() for name, value in self.params.items()})


JsonApiCredentials = Annotated[
    NoCredentials | BearerCredentials | BasicCredentials | ApiKeyCredentials, Field(discriminator="type")
]
CsvApiCredentials = Annotated[
    NoCredentials | BearerCredentials | BasicCredentials | ApiKeyCredentials | HeaderCredentials | QueryCredentials,
    Field(discriminator="type"),
]


def credentials_adapter(form: Any) -> TypeAdapter[Any]:
    """For a union of forms: the models' own `hide_input_in_errors` does not reach the union's errors."""
    return TypeAdapter(form, config=ConfigDict(hide_input_in_errors=True))


def basic_authorization(username: str, password: str) -> str:
    """The value of an Authorization header for Basic."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
