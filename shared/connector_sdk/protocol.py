"""What a connector is: a pure spec, and a source that reads pages. It knows no vendor, no queue and no database."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from shared.connector_sdk.spec import ConnectorSpec
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import HeadraceError

Judge = Callable[[int, Mapping[str, str], bytes], HeadraceError | None]
"""A vendor's own reading of an answer: (status, headers in lower case, body) to an error, or None to leave it to the
table of statuses. For vendors whose statuses say little, or whose good answers hide faults."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the vendor. `url` absolute, without secrets; `limit_class` names the budget it spends."""

    method: Literal["GET", "POST"]
    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    limit_class: str = "default"
    also_counts_in: tuple[str, ...] = ()
    """Further limit classes that the vendor counts this call in."""
    judge: Judge | None = field(default=None, repr=False)
    goes_on_by_header: bool = False
    """Whether more follows is told by the answer's headers alone (Link): that its body has not changed says nothing."""
    patience: float | None = None
    """The longest silence in seconds, where a vendor works on the answer before it sends any of it; None: as usual."""

    @property
    def limit_classes(self) -> tuple[str, ...]:
        """Every class that the call spends."""
        return (self.limit_class, *self.also_counts_in)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole, checked answer: status 2xx, body complete and within bounds, not HTML where data was due."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """The final URL after redirects."""
    secret_params: frozenset[str] = frozenset()
    """Names of the query parameters that carried credentials: cut them out of a link before it is kept."""


OnHeaders = Callable[[Mapping[str, str]], None]
"""Takes a streamed answer's headers; names are in lower case."""


class Client(Protocol):
    """The only way out: adds credentials, spends the budget, guards the address, turns bad statuses into our errors."""

    @property
    def spool(self) -> SpoolSpace:
        """Where to keep an answer that has to be whole before it can be read, and does not fit into memory."""
        ...

    async def send(self, request: Request) -> Response:
        """Raises AuthenticationError, RateLimitedError, UnavailableError, UnusableBodyError, DataError, ParkError."""
        ...

    def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        """The decompressed body in chunks, bounded; raises as `send` does, also in mid-body when it is cut.

        `on_headers` is called before the first chunk. Close it (`contextlib.aclosing`) when leaving before its end.
        """
        ...


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be told apart into fields: it is quarantined, and the read goes on."""

    raw: str
    """As it came."""
    reason: str
    key: str | None = None
    """Its external id, if that is beyond doubt; without one nothing is deleted after this read."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as read. `next_cursor` None: the last one."""

    records: list[RawRecord]
    next_cursor: Cursor
    bytes: int
    total: int | None = None
    """Records in the whole read, where the vendor says so: for progress alone."""
    rejects: tuple[BadRecord, ...] = ()
    """Records of this page that are there and cannot be read."""
    deletions: tuple[str, ...] = ()
    """External ids that the vendor says are gone: their rows are soft-deleted, in an incremental read too."""
    changed_until: datetime | None = None
    """The vendor's time at which a read began that sees every earlier change: the next one may start there, even when
    this one brought no record."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read. `since` is None for a full read."""

    entity: Entity
    since: datetime | None
    ids: tuple[str, ...] | None = None
    """Read the records with these external ids and nothing else, by `read_page`, whatever the entity's shape is; an id
    that the vendor knows no more is one of the page's deletions. Only where the spec `supports_by_id`."""


Shape = Literal["pages", "spool"]


class WholeReadNeededError(Exception):
    """What changed since then cannot be told: `read_page` raises it for a first page, which is then read in full."""


class Source(Protocol):
    """One configured account, opened for one step. Holds no state between steps."""

    def shape(self, entity: Entity) -> Shape:
        """`pages`: read_page by cursor. `spool`: one answer without pages, read as a stream by read_all."""
        ...

    def stable_paging(self, entity: Entity) -> bool:
        """False where living rows can be skipped when others vanish (page and offset paging)."""
        ...

    def calls_per_page(self, entity: Entity) -> Mapping[str, int]:
        """Calls a page costs at most, by limit class: reserved together before the step starts."""
        ...

    async def read_page(self, request: ReadRequest, cursor: Cursor) -> Page:
        """One page. Safe to repeat. Raises WholeReadNeededError for the first page of an incremental read alone."""
        ...

    def read_all(self, request: ReadRequest) -> AsyncIterator[RawRecord | BadRecord]:
        """All records of a spooled entity, with bounded memory."""
        ...

    async def check(self, entity: Entity) -> int:
        """One cheap call that proves access; returns how many records the sample held."""
        ...


@runtime_checkable
class UnevenSource(Protocol):
    """A source whose pages do not all cost the same: asked in the place of `calls_per_page`."""

    def calls_of_page(self, entity: Entity, cursor: Cursor) -> Mapping[str, int]:
        """Calls that the page at this cursor costs at most, by limit class."""
        ...


@runtime_checkable
class JointSource(Protocol):
    """A source that proves access to several entities by fewer calls: asked in the place of one `check` for each."""

    def calls_of_checks(self, entities: Sequence[Entity]) -> Mapping[str, int]:
        """Calls that it costs at most, by limit class."""
        ...

    async def check_together(self, entities: Sequence[Entity]) -> Mapping[Entity, int | HeadraceError]:
        """How many records each sample held, or what is wrong. Raises ParkError and PlatformAwayError."""
        ...


class Connector(Protocol):
    """A vendor: its spec, and how to open a source."""

    spec: ConnectorSpec

    def open(self, config: Mapping[str, Any], client: Client) -> Source:
        """`config` as validated by the spec. No I/O."""
        ...
