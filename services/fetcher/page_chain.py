"""On FetchPage: one page of one entity, fetched at most once per epoch. docs/architecture.md, "The page chain"."""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import assert_never

import structlog

from services.fetcher.alive import AbandonedError, Life, kept_alive
from services.fetcher.harvest import Batch, Harvest, PageHarvest, believed
from services.fetcher.opening import OpenSource, SourceOpener
from services.fetcher.patience import publish_patiently
from services.fetcher.spooling import SpoolLimits, spooled
from shared.clock import Clock
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import ReadRequest, Source, WholeReadNeededError
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.messages import FetchPage, PageFetched, decode, encode
from shared.errors import PlatformAwayError, PoisonMessageError
from shared.messaging.ports import Bus, Message
from shared.runtime.dispatch import announce_closed
from shared.storage import pages, runs, sealed_sources
from shared.storage.closing import try_close
from shared.storage.database import Database
from shared.storage.pages import Drop, Fetch, FollowUp, Recorded
from shared.storage.rows import RunHead
from shared.storage.sealed_sources import SealedSource

_log = structlog.get_logger()


class PageHandler:
    """Fetches pages. Any message may come twice, late, or after a crash on any line; the ledger decides."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        opener: SourceOpener,
        clock: Clock,
        spool_space: SpoolSpace,
        spool_limits: SpoolLimits | None = None,
    ) -> None:
        self._db = db
        self._bus = bus
        self._opener = opener
        self._clock = clock
        self._spool_space = spool_space
        self._spool_limits = spool_limits

    async def on_fetch_page(self, message: Message) -> None:
        """Raises what the vendor's answer means (shared.errors), ParkError, PlatformAwayError, PoisonMessageError."""
        due = decode(FetchPage, message.body)
        async with self._db.for_run(due.run_id) as (conn, run):
            if run is None:
                raise PoisonMessageError("no such run")
            verdict = await pages.judge(conn, due)
            sealed = None
            if isinstance(verdict, Fetch):
                sealed = await sealed_sources.of_run(conn, run, due.entity, targeted=verdict.targets is not None)
        match verdict:
            case Drop():
                _log.debug("page message dropped", page=due.page_no, ended=verdict.ended)
            case FollowUp():
                await self._follow(due, verdict)
            case Fetch():
                assert sealed is not None
                await self._fetch(run, due, verdict, sealed)

    async def _fetch(self, run: RunHead, due: FetchPage, verdict: Fetch, sealed: SealedSource) -> None:
        if not await self._bus.ready():
            raise PlatformAwayError("the bus is away")  # before a call that would have to be made again
        try:
            async with AsyncExitStack() as kept, kept_alive(self._db, due, self._clock) as life:
                async with self._opener.open(sealed, due.entity, cursor=due.cursor, slot=due.slot) as opened:
                    try:
                        harvest = await self._read(opened.source, due, verdict, life, kept)
                    except WholeReadNeededError:
                        await self._count_calls(run, due, opened)
                        await self._read_whole(due, verdict)
                        return
                    except BaseException:
                        await self._count_calls(run, due, opened)
                        raise
                if opened.client.hits or (sealed.cache is not None and sealed.cache.used):
                    harvest.forget_deletions()
                await self._pass_on(run, due, verdict, harvest, opened.client, life)
        except AbandonedError:
            _log.info("step abandoned: the run has ended", page=due.page_no)

    async def _read(self, source: Source, due: FetchPage, verdict: Fetch, life: Life, kept: AsyncExitStack) -> Harvest:
        request = ReadRequest(due.entity, verdict.since, verdict.targets)
        if request.ids is not None:
            found = await source.read_page(request, due.cursor)
            page = believed(found, verdict.targets_deleted)
            if missing := len(found.deletions) - len(page.deletions):
                _log.warning("ids not found are left to the next sweep", entity=due.entity, missing=missing)
            return PageHarvest(page, missing)
        match source.shape(due.entity):
            case "pages":
                return PageHarvest(await source.read_page(request, due.cursor))
            case "spool":
                records = source.read_all(request)
                return await kept.enter_async_context(
                    spooled(records, life, space=self._spool_space, limits=self._spool_limits)
                )
            case never:
                assert_never(never)

    async def _pass_on(
        self, run: RunHead, due: FetchPage, verdict: Fetch, harvest: Harvest, client: MeteredClient, life: Life
    ) -> None:
        page = replace(harvest.page, bytes=client.bytes_read)
        async with self._db.for_run(due.run_id) as (conn, _):
            outcome = await pages.record(conn, run.user_id, due, page, verdict)
            if harvest.missing and isinstance(outcome, Recorded):
                await pages.note_missing(conn, due, outcome.epoch, harvest.missing)
            await runs.count_calls(conn, run, due.entity, client.calls, client.hits)
        if isinstance(outcome, FollowUp):
            await self._follow(due, outcome)
        if not isinstance(outcome, Recorded):
            return
        is_last = page.next_cursor is None
        if is_last:  # before its batches can end the run, after which a person may ask again
            await client.keep()
        for number in range(page.batches):
            if number not in outcome.committed:
                life.check()
                message = self._message(run, due, outcome.epoch, number, await harvest.batch(number))
                await publish_patiently(self._bus, "transform", [message], self._clock)
        # Only now, and with the epoch recorded here: with the ledger's newer one a page whose batches were never
        # sent could be taken for granted.
        await self._publish_follower(pages.follower(due, outcome.epoch, page.next_cursor))
        if not is_last:  # the next page need not wait for it; a process that dies before costs one call more
            await client.keep()

    async def _read_whole(self, due: FetchPage, verdict: Fetch) -> None:
        """The vendor cannot tell what changed since then: the entity is read in full, in this same run."""
        if verdict.since is None or due.page_no != 1:
            raise AssertionError("only the first page of an incremental read can ask for a whole one")
        async with self._db.for_run(due.run_id) as (conn, _):
            await runs.read_whole(conn, due.run_id, due.entity)
        _log.info("incremental read became a full one", entity=due.entity)
        await self._publish_follower(due.model_copy(update={"slot": None}))

    @staticmethod
    def _message(run: RunHead, due: FetchPage, epoch: int, number: int, batch: Batch) -> Message:
        fetched = PageFetched(
            run_id=due.run_id,
            entity=due.entity,
            page_no=due.page_no,
            batch_no=number,
            epoch=epoch,
            mapping=run.mappings[due.entity],
            records=batch.records,
            rejects=batch.rejects,
            deletions=batch.deletions,
            changed_until=batch.changed_until,
        )
        return Message(PageFetched.KIND, encode(fetched))

    async def _follow(self, due: FetchPage, verdict: FollowUp) -> None:
        """The page is committed: go on from the ledger, without a call."""
        await self._publish_follower(verdict.message)
        closed = await try_close(self._db, due.run_id)
        await announce_closed(self._db, self._bus, due.run_id, closed)

    async def _publish_follower(self, follower: FetchPage | None) -> None:
        if follower is not None:
            await self._bus.publish("fetch", Message(FetchPage.KIND, encode(follower)))

    async def _count_calls(self, run: RunHead, due: FetchPage, opened: OpenSource) -> None:
        if opened.client.calls == 0:
            return
        async with self._db.for_run(due.run_id) as (conn, _):
            await runs.count_calls(conn, run, due.entity, opened.client.calls)
