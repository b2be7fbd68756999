"""The catalogue, and trying a configuration before it is saved."""

from fastapi import APIRouter
from pydantic import JsonValue, TypeAdapter

from services.gateway.auth import CurrentIdentity
from services.gateway.deps import Deps
from services.gateway.models import ConnectionTest, ConnectorView, ReadMeterView, SyncRulesView, TestResult
from services.gateway.paging import ItemList
from services.gateway.probing import test_unsaved
from shared.connector_sdk.spec import ConnectorSpec
from shared.connector_sdk.sync_rules import SyncRules
from shared.contracts.ids import ENTITIES
from shared.contracts.mapping import FieldMappings
from shared.contracts.schedule import INTERVALS

router = APIRouter(prefix="/api/connectors", tags=["connectors"])
_MAPPINGS: TypeAdapter[FieldMappings] = TypeAdapter(FieldMappings)


@router.get("")
async def list_connectors(_identity: CurrentIdentity, deps: Deps) -> ItemList[ConnectorView]:
    """Every connector: what its config and credentials look like, and what it can do."""
    return ItemList(items=[_view(spec) for spec in deps.specs.values()], next_cursor=None)


@router.post("/test")
async def try_connector(body: ConnectionTest, identity: CurrentIdentity, deps: Deps) -> TestResult:
    """Try a configuration without saving it. 200 also when the test fails: `ok` tells."""
    return await test_unsaved(deps, identity.user_id, body.source_type, body.config, body.credentials)


def _view(spec: ConnectorSpec) -> ConnectorView:
    mappings: dict[str, JsonValue] = _MAPPINGS.dump_python(spec.default_mappings, mode="json", exclude_defaults=True)
    meter = spec.read_meter
    return ConnectorView(
        source_type=spec.source_type,
        title=spec.title,
        config_schema=spec.config.json_schema(),
        credentials_schema=spec.credentials.json_schema(),
        entities=list(ENTITIES),
        sync_modes=list(spec.sync_modes),
        supports_realtime=spec.supports_realtime,
        rate_limits={name: limit.model_dump(exclude_none=True) for name, limit in spec.rate_limits.items()},
        sync_rules=_rules(spec.sync_rules),
        read_meter=None if meter is None else ReadMeterView(per_month=meter.per_month, zone=meter.zone),
        default_mappings=mappings,
    )


def _rules(rules: SyncRules) -> SyncRulesView:
    oldest = rules.max_cursor_age
    return SyncRulesView(
        overlap_seconds=int(rules.overlap.total_seconds()),
        max_cursor_age_seconds=None if oldest is None else int(oldest.total_seconds()),
        full_sync_every=rules.full_sync_every,
        realtime_sync_seconds=int(INTERVALS["realtime"].total_seconds()),
    )
