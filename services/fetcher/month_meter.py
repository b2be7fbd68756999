"""The monthly meter of one source, where its vendor has one."""

from dataclasses import dataclass
from uuid import UUID

from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import UserId
from shared.storage.sealed_sources import SealedSource


@dataclass(frozen=True, slots=True)
class Meter:
    """Where a step's reads are counted."""

    source_id: UUID
    user_id: UserId
    account: str
    pool: str
    zone: str


def meter_of(spec: ConnectorSpec, sealed: SealedSource, account: str) -> Meter | None:
    """None where the vendor counts no reads by the month."""
    meter = spec.read_meter
    if meter is None:
        return None
    pool = f"{sealed.source_type}|{meter.pool(sealed.config)}"
    return Meter(sealed.box_id, sealed.user_id, account, pool, meter.zone)
