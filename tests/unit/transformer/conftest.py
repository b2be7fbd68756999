"""How the transformer's tests map one record."""

from collections.abc import Callable
from typing import Any

import pytest

from services.transformer.engine import Mapped, compile_mapping
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping
from shared.contracts.records import FIELDS

Apply = Callable[..., Mapped]


@pytest.fixture
def apply() -> Apply:
    def run(records: list[Any], fields: Any = None, *, entity: Entity = "inventory", **mapping: Any) -> Mapped:
        mapping.setdefault("id_path", "id")
        return compile_mapping(entity, EntityMapping.model_validate({"fields": fields, **mapping})).apply(records)

    return run


CellOf = Callable[..., str | None]


@pytest.fixture
def cell(apply: Apply) -> CellOf:
    """(entity, field, rule, raw value) -> the cell, or "field: reason" of the reject."""

    def run(entity: Entity, field: str, rule: Any, raw: Any, **mapping: Any) -> str | None:
        required = {"inventory": "sku", "vendors": "name", "purchase_orders": "order_number"}[entity]
        fields = {required: {"constant": "K-1"}, field: rule}
        mapped = apply([{"id": 1, "raw": raw}], fields, entity=entity, **mapping)
        if mapped.rejects:
            return f"{mapped.rejects[0].field}: {mapped.rejects[0].reason}"
        return mapped.rows[0].cells[[spec.name for spec in FIELDS[entity]].index(field)]

    return run
