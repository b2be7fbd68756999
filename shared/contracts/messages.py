"""Every message as a frozen, versioned pydantic model, and its bytes on the wire.

Bulk (`records`, `rows`) is JSON that passes through pydantic untouched: the transformer validates each record, so
validating a page again at each hop would only cost time. msgspec encodes and decodes; decimals stay exact.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from shared.contracts.ids import Entity, Mode, RunId, SourceId, UserId
from shared.contracts.mapping import EntityMapping
from shared.contracts.records import Cell, RecordReject, Row
from shared.errors import Category, PoisonMessageError

RawRecord = dict[str, Any]
"""A record as the vendor sent it; numbers are int or Decimal, never float."""
Cursor = str | int | None
"""A connector's own opaque position; None is the first page."""


class MessageModel(BaseModel):
    """Base of all messages. `KIND` names the message type in the transport's headers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    KIND: ClassVar[str]
    BULK: ClassVar[tuple[str, ...]] = ()
    """Fields that are spliced into the bytes without a walk by pydantic."""

    version: Literal[1] = 1


class SyncRequested(MessageModel):
    """Public: someone outside asks for a run of a source."""

    KIND: ClassVar[str] = "sync.requested"

    source_id: SourceId
    user_id: UserId
    run_id: RunId | None = None
    entities: tuple[Entity, ...] | None = Field(default=None, min_length=1, max_length=3)
    mode: Mode | None = None
    trigger: Literal["external"]
    requested_at: AwareDatetime


class RunRequested(MessageModel):
    """A run row exists and wants to be planned."""

    KIND: ClassVar[str] = "run.requested"

    run_id: RunId


class FetchPage(MessageModel):
    """Fetch one page of one entity. `parent_epoch` is the epoch of page_no-1 in the ledger (0 for page 1)."""

    KIND: ClassVar[str] = "page.fetch"

    run_id: RunId
    entity: Entity
    page_no: Annotated[int, Field(ge=1)]
    cursor: Cursor = None
    parent_epoch: Annotated[int, Field(ge=0)] = 0
    slot: str | None = None
    """A reserved slot of the limiter, good only at its time."""


class PageFetched(MessageModel):
    """One bounded batch of raw records of a page, with the mapping that applies."""

    KIND: ClassVar[str] = "page.fetched"
    BULK: ClassVar[tuple[str, ...]] = ("records",)

    run_id: RunId
    entity: Entity
    page_no: int
    batch_no: int
    epoch: int
    mapping: EntityMapping
    records: SkipValidation[list[RawRecord]]
    rejects: list[RecordReject] = []
    """Records that the connector could not read: they count as read, and go to the quarantine with the others."""
    deletions: list[str] = []
    """External ids that the vendor says are gone. They are no records: they count as `deleted` alone."""
    changed_until: AwareDatetime | None = None
    """Every change until then has been seen, whatever the records say of themselves."""


class PageTransformed(MessageModel):
    """One batch mapped: rows, rejects and what was filtered. `read` = rows + rejects + filtered."""

    KIND: ClassVar[str] = "page.transformed"
    BULK: ClassVar[tuple[str, ...]] = ("rows",)

    run_id: RunId
    entity: Entity
    page_no: int
    batch_no: int
    epoch: int
    mapping_version: int
    read: int
    filtered: int
    max_updated_at: AwareDatetime | None
    """The newest change time among the records of this batch: where the next incremental read starts."""
    rows: SkipValidation[list[Row]]
    rejects: list[RecordReject]
    deletions: list[str] = []
    """External ids whose rows are to be soft-deleted."""


class ProbeRequested(MessageModel):
    """Test a source's configuration. What is secret stays sealed in the row `probe_id`, or in the stored source's."""

    KIND: ClassVar[str] = "probe.requested"

    probe_id: UUID
    source_id: SourceId | None = None
    """A stored source, whose own credentials are tried."""


class EntityProbe(BaseModel):
    """What the test of one entity found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok: bool
    sample_count: int = 0
    message: str | None = None


class ProbeReply(MessageModel):
    """The answer of a test connection."""

    KIND: ClassVar[str] = "probe.reply"

    ok: bool
    category: str | None = None
    message: str
    hint: str | None = None
    latency_ms: int
    entities: dict[Entity, EntityProbe] = {}


class SampleRequested(MessageModel):
    """Fetch a few raw records of one entity. What is secret stays sealed in the row `probe_id`."""

    KIND: ClassVar[str] = "sample.requested"

    probe_id: UUID
    entity: Entity
    size: int = Field(ge=1, le=100)


class SampleReply(MessageModel):
    """The sample, or why there is none."""

    KIND: ClassVar[str] = "sample.reply"
    BULK: ClassVar[tuple[str, ...]] = ("records",)

    ok: bool
    category: Category | None = None
    message: str
    hint: str | None = None
    records: SkipValidation[list[RawRecord]]


class LimitsRequested(MessageModel):
    """What does the limiter know of these scopes? Only who has Redis can tell."""

    KIND: ClassVar[str] = "limits.requested"

    scopes: tuple[str, ...] = Field(max_length=500)


class WindowUsed(BaseModel):
    """One window of a scope; `used`: calls in the span that ends now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int
    seconds: float
    used: int
    remaining: int


class ScopeLimits(BaseModel):
    """A scope at this moment. `waiting`: slots that are handed out for later; `blocked_until`: after a vendor's 429."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: tuple[WindowUsed, ...]
    concurrency: int | None
    in_flight: int
    waiting: int
    blocked_until: AwareDatetime | None


class LimitsReply(MessageModel):
    """By scope."""

    KIND: ClassVar[str] = "limits.reply"

    scopes: dict[str, ScopeLimits]


class PreviewRequested(MessageModel):
    """Map these raw records, and say field by field what is wrong."""

    KIND: ClassVar[str] = "preview.requested"
    BULK: ClassVar[tuple[str, ...]] = ("records",)

    entity: Entity
    mapping: EntityMapping
    records: SkipValidation[list[RawRecord]]


class SampleProblem(BaseModel):
    """What is wrong with one field of one record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    reason: str


class MappedSample(BaseModel):
    """What one record became. `mapped` None: it was filtered, or is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    external_id: str | None = None
    filtered: bool = False
    mapped: dict[str, Cell] | None = None
    lines: list[dict[str, Cell]] | None = None
    errors: list[SampleProblem] = []


class PreviewReply(MessageModel):
    """One result for each record, in their order; or why the mapping cannot be used."""

    KIND: ClassVar[str] = "preview.reply"

    ok: bool
    category: Category | None = None
    message: str
    hint: str | None = None
    results: list[MappedSample]


class ConsentRequested(MessageModel):
    """Exchange the code that a consent brought. The code is sealed in the row `consent_id`."""

    KIND: ClassVar[str] = "consent.requested"

    consent_id: UUID


class ConsentReply(MessageModel):
    """Whether the source is connected now, or why it is not."""

    KIND: ClassVar[str] = "consent.reply"

    ok: bool
    category: Category | None = None
    message: str
    hint: str | None = None


class RunChanged(MessageModel):
    """Event for whoever watches: this run's counters or state changed. Carries no data; read the run."""

    KIND: ClassVar[str] = "run.changed"

    run_id: RunId


MESSAGES: tuple[type[MessageModel], ...] = (
    SyncRequested,
    RunRequested,
    FetchPage,
    PageFetched,
    PageTransformed,
    ProbeRequested,
    ProbeReply,
    SampleRequested,
    SampleReply,
    LimitsRequested,
    LimitsReply,
    PreviewRequested,
    PreviewReply,
    ConsentRequested,
    ConsentReply,
    RunChanged,
)

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_Model = TypeVar("_Model", bound=MessageModel)


class NumberRangeError(msgspec.DecodeError):
    """JSON with a number beyond what a Decimal holds."""


def encode_json(value: Any) -> bytes:
    """JSON bytes; decimals as exact numbers."""
    return _encoder.encode(value)


def encode_json_lines(values: Sequence[Any]) -> bytes:
    """As `encode_json` of each, each with a line break after it and none within."""
    return _encoder.encode_lines(values)


def decode_json(data: bytes | str) -> Any:
    """JSON with every non-integer number as an exact Decimal.

    Raises msgspec.DecodeError (a ValueError; NumberRangeError is one), RecursionError for what is nested too deeply.
    """
    try:
        return _decoder.decode(data)
    except InvalidOperation:
        raise NumberRangeError("a number's exponent is out of range") from None


def encode(message: MessageModel) -> bytes:
    """The message's bytes on the wire."""
    if not message.BULK:
        return message.model_dump_json().encode()
    head = message.model_dump(mode="json", exclude=set(message.BULK))
    for name in message.BULK:
        head[name] = getattr(message, name)
    return encode_json(head)


def decode(model: type[_Model], body: bytes) -> _Model:
    """The message in `body`; PoisonMessageError says which field is wrong, never what was in it."""
    try:
        return model.model_validate(decode_json(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise PoisonMessageError(f"{model.KIND}: not JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "message"
        raise PoisonMessageError(f"{model.KIND}: {place}: {first['msg']}") from None
