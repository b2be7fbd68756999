"""Making and changing sources: what a request becomes in the database, credentials sealed on the way."""

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from services.gateway.deps import GatewayDeps
from services.gateway.models import SourceCreate, SourcePatch
from services.gateway.problems import FieldError, invalid, not_found
from services.gateway.source_rules import JsonObject, check_addresses, check_mappings, check_source, spec_of
from shared.connector_sdk.credentials import canonical, credentials_set
from shared.connector_sdk.spec import RateLimit
from shared.contracts.ids import SourceId, UserId
from shared.contracts.schedule import next_after
from shared.sealing.boxes import Context
from shared.storage import cache_rules, sources
from shared.storage.database import Connection
from shared.storage.sources import SealedCredentials, SourceValues, SourceView

_REREAD = ("config", "field_mappings")
"""A change of these makes an incremental read wrong: old rows would keep what the old ones made of them."""

_REASK = ("config", "cache_ttl_seconds")
"""A change of these is a wish for other answers than those that are kept. A mapping is applied to the same ones."""


async def create_source(deps: GatewayDeps, conn: Connection, user_id: UserId, asked: SourceCreate) -> SourceView:
    """Check, seal, write. Raises 422 problems."""
    spec = spec_of(deps.specs, asked.source_type)
    entities = check_source(spec, asked.config, asked.credentials)
    check_addresses(spec, asked.config, deps.egress)
    mappings = asked.field_mappings or {}
    check_mappings(mappings, entities)
    source_id = SourceId(uuid4())
    values = SourceValues(
        display_name=asked.display_name,
        description=asked.description,
        config=asked.config,
        field_mappings=mappings,
        entities=entities,
        sync_enabled=asked.sync_enabled,
        sync_frequency=asked.sync_frequency,
        full_sync_every=asked.full_sync_every,
        cache_ttl_seconds=asked.cache_ttl_seconds,
        rate_limit=_limits(asked.rate_limit),
        next_sync_at=next_after(asked.sync_frequency, deps.clock.now()),
    )
    sealed = seal(deps, Context(user_id, source_id, spec.origins(asked.config)), asked.credentials)
    await sources.insert_source(conn, source_id, user_id, asked.source_type, values, sealed)
    created = await sources.load_source(conn, source_id)
    assert created is not None
    return created


async def change_source(
    deps: GatewayDeps, conn: Connection, user_id: UserId, source_id: SourceId, patch: SourcePatch
) -> SourceView:
    """Check the source as it would be, and write it. Raises 404 and 422 problems."""
    current = await sources.lock_source(conn, source_id)
    if current is None:
        raise not_found("source")
    spec = spec_of(deps.specs, current.source_type)
    planned = _planned(current, patch, deps.clock.now())
    credentials = patch.credentials if "credentials" in patch.model_fields_set else None
    entities = check_source(spec, planned.config, credentials)
    check_addresses(spec, planned.config, deps.egress)
    check_mappings(planned.field_mappings, entities)
    moved = set(spec.origins(planned.config)) != set(spec.origins(current.config))
    if moved and credentials is None:
        credentials = _nothing_to_bring(current)
    if credentials is not None:
        context = Context(user_id, source_id, spec.origins(planned.config))
        await sources.replace_credentials(conn, source_id, seal(deps, context, credentials))
    mapping_changed = planned.field_mappings != current.field_mappings
    await sources.update_source(
        conn, source_id, replace(planned, entities=entities), current.mapping_version + int(mapping_changed)
    )
    if any(getattr(planned, name) != getattr(current, name) for name in _REREAD):
        await sources.forget_cursors(conn, source_id)
    if credentials is not None or any(getattr(planned, name) != getattr(current, name) for name in _REASK):
        await cache_rules.forget(conn, source_id)
    after = await sources.load_source(conn, source_id)
    assert after is not None
    return after


def seal(deps: GatewayDeps, context: Context, credentials: JsonObject) -> SealedCredentials:
    """Close credentials for the fetcher."""
    return SealedCredentials(dict(deps.sealing.seal(canonical(credentials), context)), credentials_set(credentials))


def _planned(current: SourceView, patch: SourcePatch, now: datetime) -> SourceValues:
    """The source as it would be. `entities` are still the old ones."""
    sent = patch.model_fields_set
    frequency = patch.sync_frequency if "sync_frequency" in sent else current.sync_frequency
    enabled = patch.sync_enabled if "sync_enabled" in sent else current.sync_enabled
    timing_changed = (frequency, enabled) != (current.sync_frequency, current.sync_enabled)
    next_sync_at = next_after(frequency, now) if timing_changed else current.next_sync_at
    return SourceValues(
        display_name=patch.display_name if "display_name" in sent else current.display_name,
        description=patch.description if "description" in sent else current.description,
        config=patch.config if "config" in sent else current.config,
        field_mappings=(patch.field_mappings or {}) if "field_mappings" in sent else current.field_mappings,
        entities=current.entities,
        sync_enabled=enabled,
        sync_frequency=frequency,
        full_sync_every=patch.full_sync_every if "full_sync_every" in sent else current.full_sync_every,
        cache_ttl_seconds=patch.cache_ttl_seconds if "cache_ttl_seconds" in sent else current.cache_ttl_seconds,
        rate_limit=_limits(patch.rate_limit) if "rate_limit" in sent else current.rate_limit,
        next_sync_at=next_sync_at if current.paused_at is None else None,
    )


def _nothing_to_bring(current: SourceView) -> JsonObject:
    """For a source that sends no secrets; raises a 422 problem for one that would send them to another address."""
    if not current.credentials_set:
        return {"type": "none"}
    detail = "the change sends credentials to another address, so they must be entered again"
    hint = "Send `credentials` together with the new `config`."
    raise invalid([FieldError(pointer="/credentials", detail=detail)], hint=hint)


def _limits(limit: RateLimit | None) -> dict[str, int]:
    return {} if limit is None else limit.model_dump(exclude_none=True)
