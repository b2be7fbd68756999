"""A connector's declaration, pure: what the catalogue shows, its config and credentials, how it is limited."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from shared.connector_sdk.oauth import OAuthApp
from shared.connector_sdk.sync_rules import SyncRules
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings

SyncMode = Literal["full", "incremental"]


class RateLimit(BaseModel):
    """All of them hold at once, in any sliding window, counted at the vendor's side."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    per_second: int | None = Field(default=None, ge=1, le=10_000)
    per_minute: int | None = Field(default=None, ge=1, le=600_000)
    per_hour: int | None = Field(default=None, ge=1, le=36_000_000)
    concurrency: int | None = Field(default=None, ge=1, le=100)


@dataclass(frozen=True, slots=True)
class ReadMeter:
    """Reads that a vendor counts by the calendar month. Each call of a connector that has one counts, repeats too."""

    per_month: int
    """The allowance; beyond it the vendor refuses."""
    zone: str
    """IANA zone in which the month turns."""
    pool: Callable[[Mapping[str, Any]], str]
    """Whose allowance a validated config spends: all accounts with the same name share it."""


def _never(config: Mapping[str, Any], entity: Entity) -> bool:  # noqa: ARG001 - the field's signature
    return False


@dataclass(frozen=True, slots=True)
class ConnectorSpec:
    """Everything about a connector that needs no I/O."""

    source_type: str
    title: str
    config: TypeAdapter[Any]
    """Validates `config` (hide_input_in_errors must be set on its models)."""
    credentials: TypeAdapter[Any]
    """Validates `credentials` likewise."""
    entities: Callable[[Mapping[str, Any]], tuple[Entity, ...]]
    """The entities a validated config offers."""
    sync_modes: tuple[SyncMode, ...]
    supports_realtime: bool
    rate_limits: Mapping[str, RateLimit]
    """By limit class; a request that names none spends `default`. A source's own `rate_limit` tightens every class."""
    default_mappings: FieldMappings
    origins: Callable[[Mapping[str, Any]], tuple[str, ...]]
    """scheme://host:port of every address credentials are sent to: what the sealed box is bound to."""
    account: Callable[[Mapping[str, Any], str], str]
    """(config, credential fingerprint) -> the upstream account that shares one budget."""
    mapping: Callable[[Mapping[str, Any], Entity, FieldMappings], EntityMapping]
    """The complete mapping of an entity: id, filter and change time from the config, rules from the user or default."""
    supports_incremental: Callable[[Mapping[str, Any], Entity], bool]
    """Whether this config can read an entity from a point in time on."""
    supports_by_id: Callable[[Mapping[str, Any], Entity], bool] = _never
    """Whether this config can read single records by their external ids (`ReadRequest.ids`), as webhooks ask for."""
    sync_rules: SyncRules = SyncRules()  # noqa: RUF009 - frozen
    """How far an incremental read overlaps, and when a full one takes its place."""
    read_meter: ReadMeter | None = None
    """Where the vendor counts reads by the month."""
    vendor_origins: frozenset[str] | None = None
    """A vendor's own origins: credentials go elsewhere only where the operator lists it (HEADRACE_EGRESS_ALLOW).
    None: the user names the origins, as generic connectors do."""
    oauth: Callable[[Mapping[str, Any]], OAuthApp] | None = None
    """The app that a config names, where calls are made with access tokens: its credentials are OAuthCredentials."""
