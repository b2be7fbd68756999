"""What the tests of closing do again and again."""

from datetime import datetime
from typing import Any

from core_rig import Core, item

from shared.contracts.ids import Entity, RunId, SourceId
from shared.contracts.records import Row
from shared.storage.closing import Closed, Failure, fail_entity

BROKEN = Failure("NETWORK_ERROR", "the vendor is away", "Wait.")


def items(*numbers: int) -> list[Row]:
    """Rows with the keys k001 and so on."""
    return [item(f"k{number:03}") for number in numbers]


async def fail(core: Core, run: RunId, entity: Entity | None = "inventory") -> Closed:
    return await fail_entity(core.databases["fetcher"], run, entity, BROKEN)


async def cursor(core: Core, source: SourceId, entity: Entity = "inventory") -> datetime | None:
    found: Any = await core.admin.fetchval(
        "select changed_until from sync_cursors where source_id = $1 and entity = $2", source, entity
    )
    return found
