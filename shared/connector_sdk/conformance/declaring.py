"""Rules about what a connector declares: its spec, its models, its default mapping."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import jsonschema
from pydantic import TypeAdapter, ValidationError

from shared.connector_sdk.conformance.rule import MapRecords, Rule
from shared.connector_sdk.conformance.workbench import BrokenError, ExemptError, Workbench
from shared.connector_sdk.spec import SyncMode
from shared.contracts.ids import ENTITIES
from shared.contracts.records import FIELDS
from shared.errors import HeadraceError, MappingError
from shared.http.urls import origin, parse_url

_SOURCE_TYPE = re.compile(r"[a-z][a-z0-9_]{1,49}")
_STRANGER = "no_such_key_of_ours"
_SHOWN_REJECTS = 3


async def _spec_declared(bench: Workbench) -> None:
    spec, config = bench.spec, bench.vendor.config
    if not _SOURCE_TYPE.fullmatch(spec.source_type):
        raise BrokenError(f"source_type {spec.source_type!r} is not lower-case letters, digits and underscores")
    if not spec.title.strip():
        raise BrokenError("the title is empty")
    modes = spec.sync_modes
    if "full" not in modes or len(set(modes)) < len(modes) or not set(modes) <= set(get_args(SyncMode)):
        raise BrokenError(f"sync_modes {modes!r}: `full` is due, each once")
    entities = spec.entities(config)
    if not entities or len(set(entities)) < len(entities) or not set(entities) <= set(ENTITIES):
        raise BrokenError(f"entities {entities!r}: at least one of {', '.join(ENTITIES)}, each once")
    if not spec.rate_limits:
        raise BrokenError("rate_limits has no class")
    for name, limit in spec.rate_limits.items():
        if all(value is None for value in limit.model_dump().values()):
            raise BrokenError(f"the rate limit {name!r} limits nothing")
    if any(spec.supports_incremental(config, entity) for entity in entities) and "incremental" not in modes:
        raise BrokenError("an entity supports incremental reads, and sync_modes does not say so")
    origins = spec.origins(config)
    if not origins or list(origins) != [_origin(one) for one in origins]:
        raise BrokenError(f"origins {origins!r}: scheme://host:port of each address, at least one")
    if not spec.account(config, "fingerprint").strip():
        raise BrokenError("account() names no account")


def _origin(text: str) -> str:
    try:
        return origin(parse_url(text))
    except HeadraceError as error:
        raise BrokenError(f"origins: {error.message}") from None


async def _schemas_valid(bench: Workbench) -> None:
    vendor = bench.vendor
    for what, adapter, examples in (
        ("config", bench.spec.config, [vendor.config]),
        ("credentials", bench.spec.credentials, [vendor.credentials, vendor.wrong_credentials]),
    ):
        schema = _schema(adapter, what)
        for example in examples:
            for error in jsonschema.Draft202012Validator(schema).iter_errors(dict(example)):
                raise BrokenError(f"{what}: the example does not fit the schema at {error.json_path}")
            try:
                adapter.validate_python(dict(example))
            except ValidationError as error:
                raise BrokenError(f"{what}: the example does not fit the model: {_first(error)}") from None


def _schema(adapter: TypeAdapter[Any], what: str) -> dict[str, Any]:
    try:
        schema = adapter.json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
    except (jsonschema.SchemaError, ValueError, TypeError) as error:
        raise BrokenError(f"{what} has no valid JSON Schema: {type(error).__name__}") from None
    return schema


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


async def _unknown_keys_refused(bench: Workbench) -> None:
    for what, adapter, example in (
        ("config", bench.spec.config, bench.vendor.config),
        ("credentials", bench.spec.credentials, bench.vendor.credentials),
    ):
        if _accepts(adapter, {**example, _STRANGER: 1}):
            raise BrokenError(f"{what}: an unknown key is taken without a word")
        for place in _open_objects(adapter.json_schema(), what):
            raise BrokenError(f"{place}: unknown keys are taken without a word")


def _open_objects(schema: Any, place: str) -> Iterator[str]:
    """Objects with named properties that allow others beside them."""
    if isinstance(schema, list):
        for part in schema:
            yield from _open_objects(part, place)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("properties"), dict) and schema.get("additionalProperties", True) is True:
        yield f"{place} ({schema.get('title', 'an object')})"
    for name, part in schema.items():
        if name not in {"default", "examples", "const", "enum"}:
            yield from _open_objects(part, place)


def _accepts(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


async def _secret_names_refused(bench: Workbench) -> None:
    places = list(_addresses(bench.vendor.config))
    if not places:
        raise ExemptError("the config holds no address")
    for place in places:
        for spoiled, how in ((_with_key, "a key as a parameter"), (_with_user, "a user and a password")):
            config = copy.deepcopy(dict(bench.vendor.config))
            _spoil(config, place, spoiled)
            if _accepts(bench.spec.config, config):
                raise BrokenError(f"config.{'.'.join(map(str, place))}: an address with {how} is accepted")


def _with_key(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}api_key=hidden-here"


def _with_user(url: str) -> str:
    return url.replace("://", "://user:hidden-here@", 1)


Place = tuple[str | int, ...]


def _addresses(value: Any, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield place
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _addresses(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _addresses(inner, (*place, number))


def _spoil(value: Any, place: Place, how: Any) -> None:
    for part in place[:-1]:
        value = value[part]
    value[place[-1]] = how(value[place[-1]])


def _maps(map_records: MapRecords) -> Rule:
    async def check(bench: Workbench) -> None:
        for entity in bench.entities:
            mapping = bench.mapping(entity)
            unknown = set(mapping.fields or ()) - {spec.name for spec in FIELDS[entity]} - {"lines"}
            if unknown:
                raise BrokenError(f"{entity}: the mapping fills {sorted(unknown)}, which Headrace does not have")
            records = (await bench.read(entity)).records
            if not records:
                raise BrokenError(f"{entity}: the stand-in has no record to map")
            try:
                rejects = map_records(entity, mapping, records)
            except MappingError as error:
                raise BrokenError(f"{entity}: {error.message}") from None
            if rejects:
                shown = "; ".join(rejects[:_SHOWN_REJECTS])
                raise BrokenError(f"{entity}: {len(rejects)} of {len(records)} records are rejected: {shown}")

    return Rule(
        "records_map",
        "The mapping compiles, and makes a row with its required field of every true record.",
        check,
    )


def declaring(map_records: MapRecords) -> tuple[Rule, ...]:
    """The rules, in the order in which one would mend them."""
    return (
        Rule(
            "spec_declared", "Title, entities, modes, rate limits, origins and account are well-formed.", _spec_declared
        ),
        Rule("schemas_valid", "Config and credentials have valid JSON Schemas that the examples fit.", _schemas_valid),
        Rule("unknown_keys_refused", "A key that nobody knows is an error, at any depth.", _unknown_keys_refused),
        Rule(
            "secret_names_refused",
            "No address in the config may carry a key, a user or a password.",
            _secret_names_refused,
        ),
        _maps(map_records),
    )
