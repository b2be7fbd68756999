"""On SampleRequested: a few raw records of one entity, for whoever works on a mapping. Nothing is saved."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from services.fetcher.opening import SourceOpener
from services.fetcher.probe_time import LATE_HINT, LATE_MESSAGE
from services.fetcher.probing import category_of
from shared.connector_sdk.protocol import BadRecord, ReadRequest, Source
from shared.contracts.ids import Entity
from shared.contracts.messages import Cursor, RawRecord, SampleReply, SampleRequested, decode, encode, encode_json
from shared.errors import HeadraceError, PlatformAwayError
from shared.messaging.ports import Message
from shared.storage import probes
from shared.storage.database import Database

MAX_BYTES = 2_000_000
"""Of a sample as JSON: an answer is looked at by a person."""
MOST_PAGES = 3
"""A source that shows no record on these has none within a person's patience."""

LATE_SAMPLE = SampleReply(ok=False, category="NETWORK_ERROR", message=LATE_MESSAGE, hint=LATE_HINT, records=[])


class SampleHandler:
    """Answers every request: what fails is the answer, not an error."""

    def __init__(self, db: Database, opener: SourceOpener) -> None:
        self._db = db
        self._opener = opener

    async def on_sample_requested(self, message: Message) -> Message:
        """The reply. Raises PlatformAwayError alone."""
        request = decode(SampleRequested, message.body)
        async with self._db.transaction() as conn:
            sealed = await probes.load(conn, request.probe_id)
        if sealed is None:
            reply = SampleReply(ok=False, message="the request expired before it could start", records=[])
        else:
            try:
                async with self._opener.open(sealed, request.entity, parks=False) as opened:
                    records = await _sample(opened.source, request.entity, request.size)
                    await opened.client.keep()
                reply = SampleReply(ok=True, message=f"{len(records)} records.", records=_bounded(records))
            except PlatformAwayError:
                raise
            except HeadraceError as error:
                reply = SampleReply(
                    ok=False,
                    category=category_of(error),
                    message=error.message,
                    hint=error.hint or None,
                    records=[],
                )
        return Message(SampleReply.KIND, encode(reply))


async def _sample(source: Source, entity: Entity, size: int) -> list[RawRecord]:
    request = ReadRequest(entity, since=None)
    if source.shape(entity) == "pages":
        return (await _first_records(source, request))[:size]
    found: list[RawRecord] = []
    async with AsyncExitStack() as kept:
        records = source.read_all(request)
        if isinstance(records, AsyncGenerator):
            kept.push_async_callback(records.aclose)  # hangs up, the rest is not wanted
        async for record in records:
            if not isinstance(record, BadRecord):
                found.append(record)
            if len(found) == size:
                break
    return found


async def _first_records(source: Source, request: ReadRequest) -> list[RawRecord]:
    """The first page's that has any: Finale's first one of orders tells only where they are."""
    cursor: Cursor = None
    for _ in range(MOST_PAGES):
        page = await source.read_page(request, cursor)
        cursor = page.next_cursor
        if page.records or cursor is None:
            return page.records
    return []


def _bounded(records: list[RawRecord]) -> list[RawRecord]:
    kept: list[RawRecord] = []
    size = 0
    for record in records:
        size += len(encode_json(record))
        if kept and size > MAX_BYTES:
            break
        kept.append(record)
    return kept
