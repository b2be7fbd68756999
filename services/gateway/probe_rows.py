"""What a message must not carry: configuration and sealed credentials, in a row that lives for minutes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from services.gateway.deps import GatewayDeps
from services.gateway.source_editing import seal
from services.gateway.source_rules import JsonObject
from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import SourceId, UserId
from shared.errors import HeadraceError
from shared.observability.logging import get_logger
from shared.sealing.boxes import Context
from shared.storage import probes
from shared.storage.sources import SourceView

_log = get_logger("gateway")


@asynccontextmanager
async def unsaved_row(
    deps: GatewayDeps, user_id: UserId, spec: ConnectorSpec, config: JsonObject, credentials: JsonObject
) -> AsyncIterator[UUID]:
    """For what is not stored anywhere else; the row is gone after the block."""
    probe_id = uuid4()
    sealed = seal(deps, Context(user_id, SourceId(probe_id), spec.origins(config)), credentials)
    async with deps.database.for_tenant(user_id) as conn:
        await probes.insert_unsaved(conn, probe_id, user_id, spec.source_type, config, sealed.box)
    try:
        yield probe_id
    finally:
        await _forget(deps, user_id, probe_id)


@asynccontextmanager
async def stored_row(deps: GatewayDeps, user_id: UserId, source: SourceView) -> AsyncIterator[UUID]:
    """For a stored source, whose own credentials the fetcher opens; the row is gone after the block."""
    probe_id = uuid4()
    async with deps.database.for_tenant(user_id) as conn:
        await probes.insert_stored(conn, probe_id, user_id, source.source_type, source.config, source.id)
    try:
        yield probe_id
    finally:
        await _forget(deps, user_id, probe_id)


async def _forget(deps: GatewayDeps, user_id: UserId, probe_id: UUID) -> None:
    try:
        async with deps.database.for_tenant(user_id) as conn:
            await probes.remove(conn, probe_id)
    except HeadraceError as error:  # it expires by itself
        _log.info("probe_left_to_retention", reason=error.message)
