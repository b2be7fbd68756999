"""The default mapping, as data: internal field to where it is in a raw record."""

from shared.connector_sdk.public import Entity, EntityMapping, FieldMappings, FieldRule

DEFAULT_MAPPINGS: FieldMappings = {
    "inventory": {
        "sku": FieldRule(path="code"),
        "name": FieldRule(path="title"),
        "quantity_on_hand": FieldRule(path="stock.on_hand"),
        "unit_price": FieldRule(path="price"),
        "preferred_vendor_id": FieldRule(path="supplier"),
    },
    "vendors": {
        "name": FieldRule(path="name"),
        "contact_email": FieldRule(path="email"),
        "lead_time_days": FieldRule(path="lead_time"),
    },
}


def entity_mapping(entity: Entity, rules: FieldMappings) -> EntityMapping:
    """The user's rules where there are any, else ours."""
    return EntityMapping(
        id_path="id",
        updated_at_path="changed_at" if entity == "inventory" else None,
        fields=rules.get(entity, DEFAULT_MAPPINGS[entity]),
    )
