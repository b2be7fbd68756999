"""A mapping tried on real records: a sample from the fetcher, then what the transformer makes of it."""

from uuid import UUID

from services.gateway.asking import NoReply, ask, ask_for
from services.gateway.deps import GatewayDeps
from services.gateway.models import MappingPreview, PreviewAsked, PreviewItem
from services.gateway.probe_rows import stored_row, unsaved_row
from services.gateway.problems import FieldError, invalid, pointer
from services.gateway.source_rules import JsonObject, check_source, mapping_rules, spec_of
from services.gateway.starting import living_source
from shared.contracts.ids import Entity, UserId
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import PreviewReply, PreviewRequested, SampleReply, SampleRequested


async def preview(deps: GatewayDeps, user_id: UserId, asked: PreviewAsked) -> MappingPreview:
    """What is wrong at the source or in the mapping is the result. Raises 404, 422 and 503 problems."""
    if asked.source_id is not None:
        async with deps.database.for_tenant(user_id) as conn:
            source = await living_source(conn, asked.source_id)
        mapping = _mapping(deps, source.source_type, source.config, asked)
        async with stored_row(deps, user_id, source) as probe_id:
            return await _tried(deps, user_id, probe_id, asked, mapping)
    assert asked.source_type is not None  # the model wants one or the other
    spec = spec_of(deps.specs, asked.source_type)
    check_source(spec, asked.config, asked.credentials)
    mapping = _mapping(deps, asked.source_type, asked.config, asked)
    async with unsaved_row(deps, user_id, spec, asked.config, asked.credentials) as probe_id:
        return await _tried(deps, user_id, probe_id, asked, mapping)


def _mapping(deps: GatewayDeps, source_type: str, config: JsonObject, asked: PreviewAsked) -> EntityMapping:
    spec = spec_of(deps.specs, source_type)
    offered = spec.entities(config)
    if asked.entity not in offered:
        detail = f"not read by this source; it offers {', '.join(offered)}"
        raise invalid([FieldError(pointer=pointer("entity"), detail=detail)])
    entity: Entity = asked.entity
    rules = mapping_rules(entity, asked.mapping, "mapping") if asked.mapping is not None else {}
    return spec.mapping(config, entity, {entity: rules} if rules else {})


async def _tried(
    deps: GatewayDeps, user_id: UserId, probe_id: UUID, asked: PreviewAsked, mapping: EntityMapping
) -> MappingPreview:
    wanted = SampleRequested(probe_id=probe_id, entity=asked.entity, size=asked.sample)
    sampled = await ask_for(deps, user_id, wanted, SampleReply)
    if isinstance(sampled, NoReply) or not sampled.ok:
        return _failed(sampled)
    request = PreviewRequested(entity=asked.entity, mapping=mapping, records=sampled.records)
    mapped = await ask(deps, "preview", request, PreviewReply)
    if isinstance(mapped, NoReply) or not mapped.ok:
        return _failed(mapped, raw=sampled.records)
    items = [
        PreviewItem(raw=raw, **result.model_dump()) for raw, result in zip(sampled.records, mapped.results, strict=True)
    ]
    message = "" if items else f"The source shows no {asked.entity} to try the mapping on."
    return MappingPreview(ok=True, message=message, items=items)


def _failed(reply: SampleReply | PreviewReply | NoReply, raw: list[JsonObject] | None = None) -> MappingPreview:
    items = [PreviewItem(raw=record) for record in raw or ()]
    return MappingPreview(ok=False, category=reply.category, message=reply.message, hint=reply.hint, items=items)
