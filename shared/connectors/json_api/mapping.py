"""The complete mapping of an entity of a JSON API: keys and change time from the config, fields from the user. Pure."""

from shared.connectors.json_api.config import EntityConfig
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping, FieldMappings

DEFAULT_MAPPINGS: FieldMappings = {}
"""None: without rules, raw fields fill the internal fields of the same name."""


def entity_mapping(config: EntityConfig, entity: Entity, rules: FieldMappings) -> EntityMapping:
    """`version` is the caller's to set."""
    return EntityMapping(
        id_path=config.id_path,
        filter=config.filter,
        updated_at_path=config.updated_at_path,
        fields=rules.get(entity),
    )
