"""Every route of the application as it stands, with requests that fit its parameters and its body.

Made from the route table and the OpenAPI document: a route that somebody adds tomorrow is asked too.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from fastapi.routing import iter_route_contexts
from gateway_harness import CONFIG, CREDENTIALS

from services.gateway.deps import GatewayDeps
from services.gateway.http_app import build_app

MAX_REQUESTS = 60
"""Of one route, so that the matrix stays small."""
_KNOWN: Mapping[str, Any] = {
    "source_type": "json_api",
    "display_name": "taken over",
    "config": CONFIG,
    "credentials": CREDENTIALS,
    "entity": "inventory",
    "entities": ["inventory"],
    "scopes": ["read"],
    "sync_frequency": "manual",
    "full_sync_every": "7d",
    "mapping": {"name": "name"},
    "field_mappings": {},
    "rate_limit": {"per_minute": 10},
}
"""What a body must hold where the schema alone does not say it."""

_FORMS: Mapping[str, str] = {"decimal": "1.50", "date": "2026-11-22"}


@dataclass(frozen=True)
class Route:
    """`operation` is empty for a page that the document leaves out."""

    method: str
    path: str
    operation: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def below_api(self) -> bool:
        return self.path.startswith("/api/")

    @property
    def parameters(self) -> list[str]:
        return [piece[1:-1].partition(":")[0] for piece in self.path.split("/") if piece.startswith("{")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Request:
    """One request of a route; `body` None: none is sent."""

    route: Route
    path: str
    body: Any = None


class Routes:
    """The route table, and requests to it with somebody's ids filled in."""

    def __init__(self, deps: GatewayDeps) -> None:
        app = build_app(deps)
        self.document: dict[str, Any] = app.openapi()
        self.all: list[Route] = []
        for context in iter_route_contexts(app.routes):
            path = getattr(context, "path", None) or ""
            operations = self.document["paths"].get(path.replace(":path}", "}"), {})
            self.all += [
                Route(method, path, operations.get(method.lower(), {}))
                for method in sorted(getattr(context, "methods", None) or ["GET"])
            ]
        # What destroys comes last, so that the owner's own requests still find something.
        self.all.sort(key=lambda route: (route.method == "DELETE", route.method != "GET", len(route.parameters) == 0))

    def requests(self, route: Route, ids: Mapping[str, str]) -> list[Request]:
        """With the owner's ids wherever a path, a query or a body can name one; the plainest first."""
        paths = list(self._paths(route, ids))
        bodies = list(self._bodies(route, ids)) or [None]
        made = [Request(route, paths[0], body) for body in bodies] + [Request(route, path) for path in paths[1:]]
        return made[:MAX_REQUESTS]

    def _paths(self, route: Route, ids: Mapping[str, str]) -> Iterator[str]:
        choices = [_values(name, ids) for name in route.parameters]
        for values in itertools.product(*choices):
            path = route.path.replace(":path}", "}")
            for name, value in zip(route.parameters, values, strict=True):
                path = path.replace(f"{{{name}}}", quote(value, safe=""))
            yield path
            for parameter in route.operation.get("parameters", ()):
                if parameter["in"] == "query" and parameter["name"].endswith("id"):
                    for value in _values(parameter["name"], ids):
                        yield f"{path}?{urlencode({parameter['name']: value})}"
            if any(parameter["name"] == "include_deleted" for parameter in route.operation.get("parameters", ())):
                yield f"{path}?include_deleted=true"

    def _bodies(self, route: Route, ids: Mapping[str, str]) -> Iterator[Any]:
        content = route.operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            return
        schema = self._resolved(content["application/json"]["schema"])
        members: Mapping[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        naming = {name for name in members if name.rstrip("s").endswith("id")}
        for chosen in (required, required | naming, set(members)):
            yield {name: self._sample(name, members[name], ids) for name in members if name in chosen}

    def _sample(self, name: str, schema: Mapping[str, Any], ids: Mapping[str, str]) -> Any:
        if name.rstrip("s").endswith("id"):
            values = _values(name.rstrip("s"), ids)
            return values if self._resolved(schema).get("type") == "array" else values[0]
        if name in _KNOWN:
            return _KNOWN[name]
        resolved = self._resolved(schema)
        if "enum" in resolved or "const" in resolved:
            return resolved.get("const", resolved.get("enum", [None])[0])
        if resolved.get("type") == "array":
            return [self._sample("", resolved.get("items", {}), ids)]
        if resolved.get("format") in _FORMS:
            return _FORMS[resolved["format"]]
        plain = {"boolean": False, "integer": resolved.get("minimum", 1), "number": 1, "object": {}}
        return plain.get(resolved.get("type", ""), "taken over".ljust(resolved.get("minLength", 0), "-"))

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(10):
            choices: Sequence[Mapping[str, Any]] = schema.get("anyOf", schema.get("oneOf", ()))
            real = next((each for each in choices if each.get("type") != "null"), None)
            if "$ref" in schema:
                schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
            elif real is not None:
                schema = real
            else:
                return schema
        raise AssertionError(f"a schema that does not end: {schema}")


def _values(name: str, ids: Mapping[str, str]) -> list[str]:
    """The owner's id of that name; for a name that we do not know, every id there is."""
    if name in ids:
        return [ids[name]]
    return ["inventory"] if name == "entity" else list(dict.fromkeys(ids.values()))
