"""All that a connector outside this repository may need, under one name that stays.

A package of somebody else's imports this and `shared.connector_sdk.conformance.description`, and nothing else of ours:
the modules behind it may move. Pure: importing it opens nothing and loads no HTTP client.
"""

from shared.connector_sdk.credentials import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    CredentialModel,
    Credentials,
    HeaderName,
    NoCredentials,
    ParamName,
    Secret,
    Secrets,
    credentials_adapter,
    header_name,
    sendable,
)
from shared.connector_sdk.http_config import ConfigModel, ExpressionText, PathText, Url, account_of
from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.paging import (
    CursorPaging,
    LinkPaging,
    NoListError,
    NoPaging,
    NumberedPaging,
    PageAnswer,
    Pager,
    RepeatedPageError,
    Target,
    announced_total,
    is_past_the_end,
)
from shared.connector_sdk.protocol import (
    BadRecord,
    Client,
    Connector,
    OnHeaders,
    Page,
    ReadRequest,
    Request,
    Response,
    Shape,
    Source,
)
from shared.connector_sdk.secret_names import carries_secret
from shared.connector_sdk.spec import ConnectorSpec, RateLimit, ReadMeter, SyncMode
from shared.connector_sdk.spool import SpoolFile, SpoolSpace
from shared.connector_sdk.sync_rules import SyncRules
from shared.connector_sdk.text_body import TextBody
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import EntityMapping, FieldMappings, FieldRule
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    RateLimitedError,
    UnavailableError,
    UnusableBodyError,
)
from shared.expressions.paths import compile_expression, compile_path
from shared.http.urls import origin, parse_url

__all__ = [
    "ENTITIES",
    "ApiKeyCredentials",
    "AuthenticationError",
    "BadRecord",
    "BasicCredentials",
    "BearerCredentials",
    "Client",
    "ConfigModel",
    "ConfigurationError",
    "Connector",
    "ConnectorSpec",
    "CredentialModel",
    "Credentials",
    "Cursor",
    "CursorPaging",
    "DataError",
    "Entity",
    "EntityMapping",
    "ExpressionText",
    "FieldMappings",
    "FieldRule",
    "HeaderName",
    "HeadraceError",
    "LinkPaging",
    "NoCredentials",
    "NoListError",
    "NoPaging",
    "NumberedPaging",
    "OnHeaders",
    "Page",
    "PageAnswer",
    "Pager",
    "ParamName",
    "PathText",
    "RateLimit",
    "RateLimitedError",
    "RawRecord",
    "ReadMeter",
    "ReadRequest",
    "RepeatedPageError",
    "Request",
    "Response",
    "Secret",
    "Secrets",
    "Shape",
    "Source",
    "SpoolFile",
    "SpoolSpace",
    "SyncMode",
    "SyncRules",
    "Target",
    "TextBody",
    "UnavailableError",
    "UnusableBodyError",
    "Url",
    "account_of",
    "announced_total",
    "carries_secret",
    "compile_expression",
    "compile_path",
    "credentials_adapter",
    "header_name",
    "is_past_the_end",
    "origin",
    "parse_json",
    "parse_url",
    "sendable",
]
