"""What the API takes and gives, beyond the views that storage defines. What Postgres cannot hold is refused here."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from shared.connector_sdk.spec import RateLimit, SyncMode
from shared.contracts.ids import Entity, Mode, RunId, SourceId
from shared.contracts.schedule import MAX_FREQUENCY_CHARS, parse_frequency, parse_period
from shared.errors import Category

MAX_NESTING = 40
MAX_CACHE_SECONDS = 30 * 24 * 3600


def storable_text(text: str) -> str:
    """Raises ValueError for text that Postgres cannot hold."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds a NUL or half of a surrogate pair, which cannot be stored")
    return text


def _storable(value: JsonValue, depth: int = 0) -> JsonValue:
    if depth > MAX_NESTING:
        raise ValueError(f"is nested more than {MAX_NESTING} levels deep")
    if isinstance(value, str):
        storable_text(value)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN is what differs from itself
        raise ValueError("holds a number that JSON does not have")
    elif isinstance(value, dict):
        for key, element in value.items():
            storable_text(key)
            _storable(element, depth + 1)
    elif isinstance(value, list):
        for element in value:
            _storable(element, depth + 1)
    return value


def _storable_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _storable(value)
    return value


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar in UTC") from None


def _frequency(text: str) -> str:
    parse_frequency(text)
    return text


def _period(text: str) -> str:
    parse_period(text)
    return text


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
FilterText = Annotated[str, AfterValidator(storable_text)]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable_object)]
DisplayName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable_text)
]
Description = Annotated[str, StringConstraints(max_length=2000), AfterValidator(storable_text)]
FrequencyText = Annotated[
    str,
    StringConstraints(max_length=MAX_FREQUENCY_CHARS),
    AfterValidator(_frequency),
    Field(description="realtime, every_15_minutes, hourly, daily, manual, or `cron:<5 fields> <IANA zone>`"),
]
PeriodText = Annotated[
    str,
    StringConstraints(max_length=20),
    AfterValidator(_period),
    Field(description="How often a full read replaces an incremental one: 24h, 7d, 2w. Null: as the catalogue says."),
]
CacheSeconds = Annotated[int, Field(ge=0, le=MAX_CACHE_SECONDS)]
EntityChoice = Annotated[list[Entity], Field(min_length=1, max_length=3)]


class RequestModel(BaseModel):
    """Base of bodies: an unknown member is an error, and no error quotes what was sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SourceCreate(RequestModel):
    """A new source."""

    source_type: str = Field(max_length=100)
    display_name: DisplayName
    description: Description | None = None
    config: JsonObject
    credentials: JsonObject
    field_mappings: JsonObject | None = None
    sync_frequency: FrequencyText = "hourly"
    sync_enabled: bool = True
    cache_ttl_seconds: CacheSeconds = 3600
    rate_limit: RateLimit | None = None
    full_sync_every: PeriodText | None = None


class SourcePatch(RequestModel):
    """What to change; members that are left out stay. `config` and `field_mappings` are replaced whole."""

    display_name: DisplayName = ""
    description: Description | None = None
    config: JsonObject = {}
    credentials: JsonObject = {}
    field_mappings: JsonObject | None = None
    sync_frequency: FrequencyText = "hourly"
    sync_enabled: bool = True
    cache_ttl_seconds: CacheSeconds = 3600
    rate_limit: RateLimit | None = None
    full_sync_every: PeriodText | None = None


class ConnectionTest(RequestModel):
    """A configuration to try without saving it."""

    source_type: str = Field(max_length=100)
    config: JsonObject
    credentials: JsonObject


class SyncRequest(RequestModel):
    """What to sync. `force` passes the cache by; `dry_run` counts and writes nothing."""

    entities: EntityChoice | None = None
    mode: Mode = "incremental"
    force: bool = False
    dry_run: bool = False


class ExternalSyncRequest(RequestModel):
    """Which sources; left out: all that are enabled."""

    source_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None


class RetryRequest(RequestModel):
    """`failed_only`: only the entities that did not succeed."""

    failed_only: bool = False


class RunAccepted(BaseModel):
    """The run that serves the request."""

    run_id: RunId


class SourceRun(BaseModel):
    """One source's run."""

    source_id: SourceId
    run_id: RunId


class ExternalRuns(BaseModel):
    """One run for each source."""

    runs: list[SourceRun]


class SyncRulesView(BaseModel):
    """When an incremental run reads in full (a sweep, with delete detection), and how far it overlaps otherwise."""

    overlap_seconds: int
    max_cursor_age_seconds: int | None = Field(description="What was not read for longer is swept.")
    full_sync_every: str | None = Field(description="A sweep is due so often, unless the source says it otherwise.")
    realtime_sync_seconds: int = Field(description="What webhooks missed is looked for so often with `realtime`.")


class ReadMeterView(BaseModel):
    """Reads that the vendor counts by the calendar month of `zone`, and how many it allows."""

    per_month: int
    zone: str


class ConnectorView(BaseModel):
    """One entry of the catalogue."""

    source_type: str
    title: str
    config_schema: JsonObject
    credentials_schema: JsonObject
    entities: list[Entity]
    sync_modes: list[SyncMode]
    supports_realtime: bool
    rate_limits: dict[str, dict[str, int]]
    sync_rules: SyncRulesView
    read_meter: ReadMeterView | None
    default_mappings: JsonObject


class EntityTest(BaseModel):
    """What the test of one entity found."""

    ok: bool
    sample_count: int = 0
    message: str | None = None


class TestResult(BaseModel):
    """The outcome of a connection test; `category`, `message` and `hint` say what to do when it is not ok."""

    ok: bool
    category: str | None = None
    message: str
    hint: str | None = None
    latency_ms: int
    entities: dict[Entity, EntityTest] = {}


class Readiness(BaseModel):
    """`broker` false alone does not make the gateway unready: requests are kept and sent later."""

    status: Literal["ready", "not_ready"]
    database: bool
    broker: bool


class PreviewAsked(RequestModel):
    """A stored source, or one that is not saved yet; a mapping of one entity to try on `sample` of its records."""

    source_id: SourceId | None = None
    source_type: str | None = Field(default=None, max_length=100)
    config: JsonObject = {}
    credentials: JsonObject = {}
    entity: Entity
    mapping: JsonObject | None = None
    sample: Annotated[int, Field(ge=1, le=100)] = 10

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source_id is None) == (self.source_type is None):
            raise ValueError("either source_id or source_type with config and credentials is needed")
        return self


class PreviewProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    reason: str


class PreviewItem(BaseModel):
    """One raw record and what became of it. Numbers of `mapped` and `lines` are text, as everywhere in the API."""

    raw: dict[str, Any]
    external_id: str | None = None
    filtered: bool = False
    mapped: dict[str, str | None] | None = None
    lines: list[dict[str, str | None]] | None = None
    errors: list[PreviewProblem] = []


class MappingPreview(BaseModel):
    """`ok` false: nothing could be mapped; `category`, `message` and `hint` say why."""

    ok: bool
    category: Category | None = None
    message: str = ""
    hint: str | None = None
    items: list[PreviewItem] = []
