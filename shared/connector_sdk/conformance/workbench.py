"""Where a rule works: one stand-in, one connector, and a real client whose every call is written down."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from shared.clock import Clock
from shared.connector_sdk.conformance.description import Fault, Setup, Vendor
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import (
    BadRecord,
    Connector,
    OnHeaders,
    Page,
    ReadRequest,
    Request,
    Response,
    Source,
    UnevenSource,
)
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings
from shared.contracts.messages import Cursor, RawRecord
from shared.errors import HeadraceError
from shared.expressions.exact import is_number, plain_text
from shared.expressions.paths import compile_path
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy

MAX_PAGES = 500
"""Of one read here: stand-ins are small, so more of them is a read that does not end."""
_LIMITS = HttpLimits(connect=5, read=10, deadline=20, stream_deadline=30)
_LOOPBACK = "127.0.0.0/8,::1"

_field_mappings = TypeAdapter(FieldMappings)


class BrokenError(Exception):
    """The rule does not hold; the text says where."""


class ExemptError(Exception):
    """The rule has nothing to say about this setup; the text says why."""


class Ledger:
    """The budget of one step: grants everything and writes it down, as the real one would bill it."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.blocks: list[tuple[str, float | None]] = []
        self.under_way = 0

    async def spend(self, *limit_classes: str) -> None:
        """One call, in each class that the vendor counts it in."""
        self.spent.update(limit_classes)

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        """The vendor said 429."""
        self.blocks.append((limit_class, retry_after))

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:  # noqa: ARG002 - the port's signature
        """Held while a call is under way."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1


class WatchedClient:
    """The metered client, with what the connector asked of it and how much it was handed.

    With `piece_bytes`, streams come in such pieces: a connector may not care where its vendor's packets end.
    """

    def __init__(self, inner: MeteredClient, piece_bytes: int | None = None) -> None:
        self._inner = inner
        self._piece_bytes = piece_bytes
        self.requests: list[Request] = []
        self.handed = 0
        """Bytes of bodies that the connector has in hand or behind it."""

    @property
    def spool(self) -> SpoolSpace:
        """See the port."""
        return self._inner.spool

    @property
    def calls(self) -> int:
        """What the metered client counted."""
        return self._inner.calls

    async def send(self, request: Request) -> Response:
        """See the port."""
        self.requests.append(request)
        response = await self._inner.send(request)
        self.handed += len(response.body)
        return response

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        """See the port."""
        self.requests.append(request)
        async with aclosing(self._inner.stream(request, on_headers=on_headers)) as chunks:
            async for chunk in chunks:
                size = self._piece_bytes or max(len(chunk), 1)
                for start in range(0, len(chunk), size):
                    piece = chunk[start : start + size]
                    self.handed += len(piece)
                    yield piece


@dataclass(frozen=True, slots=True)
class Step:
    """A source opened as the fetcher opens it for one step."""

    source: Source
    client: WatchedClient
    ledger: Ledger
    cursor: Cursor = None

    def reserved(self, entity: Entity) -> Mapping[str, int]:
        """What the fetcher would reserve for it; some sources' pages do not all cost the same."""
        if isinstance(self.source, UnevenSource):
            return self.source.calls_of_page(entity, self.cursor)
        return self.source.calls_per_page(entity)


@dataclass(slots=True)
class Reading:
    """A whole read. A spooled one is one page without a cursor."""

    cursors: list[Cursor] = field(default_factory=list)
    """Of each page, the one it was read with."""
    pages: list[list[RawRecord]] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def records(self) -> list[RawRecord]:
        """All pages' records."""
        return [record for page in self.pages for record in page]

    @property
    def calls(self) -> int:
        """Calls made for it."""
        return sum(step.client.calls for step in self.steps)


class Workbench:
    """One rule's place. `steps` holds every step that was opened."""

    def __init__(self, connector: Connector, setup: Setup, vendor: Vendor, http: HttpClient, clock: Clock) -> None:
        self.connector = connector
        self.spec = connector.spec
        self.vendor = vendor
        self.clock = clock
        self._setup = setup
        self._http = http
        self.steps: list[Step] = []

    @property
    def entities(self) -> tuple[Entity, ...]:
        """What the vendor's config offers."""
        return self.spec.entities(self.vendor.config)

    def mapping(self, entity: Entity) -> EntityMapping:
        """As planning makes it."""
        rules = _field_mappings.validate_python(dict(self.vendor.field_mappings))
        return self.spec.mapping(self.vendor.config, entity, rules)

    def step(
        self,
        cursor: Cursor = None,
        *,
        credentials: Mapping[str, Any] | None = None,
        piece_bytes: int | None = None,
    ) -> Step:
        """A fresh source on a fresh client: nothing of an earlier step is left in it."""
        config = json.loads(json.dumps(self.vendor.config))  # as the database gives it: equal, and not the same object
        self.spec.config.validate_python(config)
        valid = self.spec.credentials.validate_python(dict(credentials or self.vendor.credentials))
        ledger = Ledger()
        client = WatchedClient(MeteredClient(self._http, self._setup.secrets_of(valid), ledger), piece_bytes)
        step = Step(self.connector.open(config, client), client, ledger, cursor)
        self.steps.append(step)
        return step

    async def page(self, entity: Entity, cursor: Cursor, since: datetime | None = None) -> tuple[Page, Step]:
        """One page, by a step of its own."""
        step = self.step(cursor)
        return await step.source.read_page(ReadRequest(entity, since), cursor), step

    async def read(
        self,
        entity: Entity,
        *,
        since: datetime | None = None,
        credentials: Mapping[str, Any] | None = None,
        between: Callable[[Reading], None] | None = None,
        max_pages: int = MAX_PAGES,
    ) -> Reading:
        """The whole entity, a step for each page, as a run does it. `between` is called between two pages."""
        reading = Reading()
        request = ReadRequest(entity, since)
        cursor: Cursor = None
        for _ in range(max_pages):
            step = self.step(cursor, credentials=credentials)
            reading.steps.append(step)
            reading.cursors.append(cursor)
            if step.source.shape(entity) == "spool":
                await self._spool(step, request, reading)
                return reading
            page = await step.source.read_page(request, cursor)
            reading.pages.append(list(page.records))
            cursor = page.next_cursor
            if cursor is None:
                return reading
            if isinstance(cursor, bool) or not isinstance(cursor, str | int):
                raise BrokenError(f"{entity}: a cursor is text or an integer, not {type(cursor).__name__}")
            if between is not None:
                between(reading)
        raise BrokenError(f"{entity}: the read has not ended after {max_pages:,} pages")

    async def failure(self, entity: Entity, fault: Fault) -> tuple[HeadraceError | None, int, list[Step]]:
        """A whole read under a fault: the error that ended it, how many requests arrived, and its steps."""
        before, opened = self.vendor.arrivals(), len(self.steps)
        self.vendor.fault(fault)
        try:
            await self.read(entity)
        except HeadraceError as error:
            return error, self.vendor.arrivals() - before, self.steps[opened:]
        finally:
            self.vendor.fault(None)
        return None, self.vendor.arrivals() - before, self.steps[opened:]

    def keys(self, entity: Entity, records: Sequence[RawRecord]) -> list[str]:
        """Their external ids. BrokenError for a record without one."""
        path = compile_path(self.mapping(entity).id_path)
        return [self._key(entity, path.get(record), position) for position, record in enumerate(records)]

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
        """Wait for a condition, bounded. BrokenError says what never came."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - a vendor's server has no event of ours
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise BrokenError(f"{what}, not even after {seconds:g} s") from None

    async def _spool(self, step: Step, request: ReadRequest, reading: Reading) -> None:
        records: list[RawRecord] = []
        reading.pages.append(records)
        async with closing(step.source.read_all(request)) as items:
            async for item in items:
                if isinstance(item, BadRecord):
                    reading.bad.append(item)
                else:
                    records.append(item)

    @staticmethod
    def _key(entity: Entity, value: object, position: int) -> str:
        if isinstance(value, str) and value.strip():
            return value
        if not isinstance(value, bool) and is_number(value):
            return plain_text(value)
        raise BrokenError(f"{entity}: record {position} has no external id at the mapping's id_path")


@asynccontextmanager
async def closing(items: AsyncIterator[RawRecord | BadRecord]) -> AsyncIterator[AsyncIterator[RawRecord | BadRecord]]:
    """The fetcher closes what can be closed, at once; so does the kit."""
    try:
        yield items
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


@asynccontextmanager
async def workbench(connector: Connector, setup: Setup, clock: Clock) -> AsyncIterator[Workbench]:
    """A fresh stand-in, with a client that may call loopback and nothing else private."""
    async with setup.start() as vendor, HttpClient(EgressPolicy.parse(_LOOPBACK), clock, limits=_LIMITS) as http:
        yield Workbench(connector, setup, vendor, http, clock)
