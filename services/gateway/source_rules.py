"""Whether a source makes sense: its config and credentials by the connector's models, its mapping rule by rule."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from services.gateway.problems import FieldError, field_errors, invalid, pointer
from shared.connector_sdk.spec import ConnectorSpec
from shared.contracts.ids import ENTITIES, Entity
from shared.contracts.mapping import FieldMappings, FieldRule
from shared.contracts.records import FIELDS
from shared.errors import MappingError
from shared.expressions.paths import compile_path
from shared.http.egress import HINT, EgressPolicy
from shared.http.urls import origin as origin_text
from shared.http.urls import parse_url

JsonObject = dict[str, JsonValue]

# What nobody calls a column: a call of a function, a list or an object made, a projection, a filter, a pipe.
_MEANT_AS_EXPRESSION = re.compile(r"^\s*$|\b[a-z_]+\(|^\s*[\[{`@&!(]|\[(\*|\]|\?)|\{|\|\||`")

_RULES: TypeAdapter[FieldMappings] = TypeAdapter(FieldMappings)


def spec_of(specs: Mapping[str, ConnectorSpec], source_type: str) -> ConnectorSpec:
    """The connector. Raises a 422 problem that lists those there are."""
    spec = specs.get(source_type)
    if spec is None:
        known = ", ".join(specs)
        raise invalid([FieldError(pointer="/source_type", detail=f"is not a connector; known: {known}")])
    return spec


def check_source(spec: ConnectorSpec, config: JsonObject, credentials: JsonObject | None) -> tuple[Entity, ...]:
    """The entities that the config offers. Raises a 422 problem pointing at every wrong field of both.

    `credentials` None: the stored ones stay.
    """
    errors = _errors_of(spec.config, config, "config")
    if credentials is not None:
        errors += _errors_of(spec.credentials, credentials, "credentials")
    if errors:
        raise invalid(errors)
    return spec.entities(config)


def check_addresses(spec: ConnectorSpec, config: JsonObject, egress: EgressPolicy) -> None:
    """Raises a 422 problem when a vendor's credentials would go to an address that the operator does not allow."""
    if spec.vendor_origins is None:
        return
    for origin in spec.origins(config):
        if origin not in spec.vendor_origins and not egress.lists(origin):
            names = [name for name in ("base_url", "token_url") if _origin_of(config.get(name)) == origin]
            detail = f"{origin} is not an address of {spec.title}, and not allowed"
            raise invalid([FieldError(pointer=pointer("config", *names[:1]), detail=detail)], hint=HINT)


def check_mappings(mappings: JsonObject, entities: Sequence[Entity]) -> None:
    """Raises a 422 problem: unknown entities and fields, malformed rules, expressions that cannot be parsed.

    What may be the name of a raw field is left to the records: a run, or a preview, tells.
    """
    errors = [
        FieldError(pointer=pointer("field_mappings", name), detail=_no_such_entity(name, entities))
        for name in mappings
        if name not in entities
    ]
    try:
        parsed = _RULES.validate_python({name: rules for name, rules in mappings.items() if name in entities})
    except ValidationError as error:
        raise invalid(errors + field_errors(_errors(error), "field_mappings")) from None
    for entity, rules in parsed.items():
        errors += _unknown_fields(entity, rules, ("field_mappings", entity))
    if errors:
        raise invalid(errors)
    broken = [
        error for entity, rules in parsed.items() for error in _broken_expressions(rules, ("field_mappings", entity))
    ]
    if broken:
        raise invalid(broken, category="MAPPING_ERROR", hint="Correct the expressions named in `errors`.")


def mapping_rules(entity: Entity, rules: JsonObject, name: str) -> dict[str, FieldRule]:
    """The rules of one entity, which stand at `/name` of the request. Raises a 422 problem as `check_mappings` does."""
    try:
        parsed = _RULES.validate_python({entity: rules})[entity]
    except ValidationError as error:
        raise invalid(field_errors([{**each, "loc": each["loc"][1:]} for each in _errors(error)], name)) from None
    if unknown := _unknown_fields(entity, parsed, (name,)):
        raise invalid(unknown)
    if broken := _broken_expressions(parsed, (name,)):
        raise invalid(broken, category="MAPPING_ERROR", hint="Correct the expressions named in `errors`.")
    return parsed


def _origin_of(url: JsonValue) -> str | None:
    """The origin of an address in a config; None for what is none."""
    return origin_text(parse_url(url)) if isinstance(url, str) else None


def _errors_of(adapter: TypeAdapter[Any], value: JsonObject, name: str) -> list[FieldError]:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        return field_errors(_errors(error), name)
    return []


def _errors(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_input=False)


def _no_such_entity(name: str, entities: Sequence[Entity]) -> str:
    if name in ENTITIES:
        return f"is not read by this source; its config offers {', '.join(entities)}"
    return f"is not an entity; expected {', '.join(ENTITIES)}"


def _unknown_fields(entity: Entity, rules: Mapping[str, FieldRule], place: tuple[str, ...]) -> list[FieldError]:
    known = [field.name for field in FIELDS[entity]] + (["lines"] if entity == "purchase_orders" else [])
    return [
        FieldError(
            pointer=pointer(*place, name),
            detail=f"`{name}` is not a field of {entity}; known: {', '.join(known)}",
        )
        for name in rules
        if name not in known
    ]


def _broken_expressions(rules: Mapping[str, FieldRule], place: tuple[str, ...]) -> list[FieldError]:
    broken = []
    for name, rule in rules.items():
        if rule.path is None:
            continue
        try:
            compile_path(rule.path)
        except MappingError as error:
            if not _MEANT_AS_EXPRESSION.search(rule.path):
                continue  # `Price (USD)`: the name of a raw field, which only the records can tell
            broken.append(FieldError(pointer=pointer(*place, name), detail=f"{name}: {error.message}"))
    return broken
