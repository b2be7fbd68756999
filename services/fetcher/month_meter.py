"""The monthly meter of one source, where its vendor has one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import UserId
from shared.storage import read_meters
from shared.storage.database import Connection, Database
from shared.storage.sealed_sources import SealedSource


@dataclass(frozen=True, slots=True)
class Meter:
    """Where a step's reads are counted."""

    source_id: UUID
    user_id: UserId
    account: str
    pool: str
    zone: str

    @asynccontextmanager
    async def counting(self, db: Database) -> AsyncIterator[Connection]:
        """One read more, in a transaction that may count elsewhere too."""
        async with db.for_tenant(self.user_id) as conn:
            await read_meters.count_reads(
                conn, self.source_id, self.user_id, self.account, self.pool, self.zone, reads=1
            )
            yield conn


def meter_of(spec: ConnectorSpec, sealed: SealedSource, account: str) -> Meter | None:
    """None where the vendor counts no reads by the month."""
    meter = spec.read_meter
    if meter is None:
        return None
    pool = f"{sealed.source_type}|{meter.pool(sealed.config)}"
    return Meter(sealed.box_id, sealed.user_id, account, pool, meter.zone)
