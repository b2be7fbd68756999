"""Calls as PostgreSQL remembers them: the limiter's memory when Redis has lost its own, and the month's meter."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import date, datetime

from services.fetcher.month_meter import Meter
from shared.errors import PlatformAwayError
from shared.storage import read_meters, upstream_calls
from shared.storage.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Counted:
    """Where one call was counted."""

    minutes: Mapping[str, datetime]
    """By scope."""
    month: date | None


class CallCounts:
    """Counts a call before it is sent: what a crash falsifies is one too many, never one too few."""

    def __init__(self, db: Database, meter: Meter | None) -> None:
        self._db = db
        self._meter = meter

    async def add(self, scopes: Sequence[str]) -> Counted:
        """One call, counted in each of these scopes and by the month's meter."""
        minutes, month = {}, None
        if scopes or self._meter:
            async with self._transaction() as conn:
                if meter := self._meter:
                    month = await read_meters.count_reads(
                        conn, meter.source_id, meter.user_id, meter.account, meter.pool, meter.zone, reads=1
                    )
                for scope in scopes:
                    minutes[scope] = await upstream_calls.add_calls(conn, scope, 1)
        return Counted(minutes, month)

    async def take_back(self, counted: Counted) -> None:
        """It was not sent."""
        if not counted.minutes and counted.month is None:
            return
        with suppress(PlatformAwayError):  # then it is one too many
            async with self._transaction() as conn:
                if self._meter and counted.month:
                    await read_meters.take_back(conn, self._meter.source_id, self._meter.account, counted.month)
                for scope, minute in counted.minutes.items():
                    await upstream_calls.take_back(conn, scope, minute)

    def _transaction(self) -> AbstractAsyncContextManager[Connection]:
        return self._db.for_tenant(self._meter.user_id) if self._meter else self._db.transaction()
