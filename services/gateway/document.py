"""The OpenAPI document: what FastAPI reads off the routes, and what it cannot know: problems, headers, raw bodies."""

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel

from services.gateway.problems import MEDIA_TYPE

_REF: Final = "#/components/schemas/{model}"
_TEXT: Final = {"type": "string"}
_SECONDS: Final = {"type": "integer", "minimum": 1}
_LOCATION: Final = {"description": "Of the one thing that was made or started.", "schema": _TEXT}
_REPLAYED: Final = {"description": "The same key was used before: nothing was done again.", "schema": {"const": "true"}}
_RETRY: Final = {"description": "Seconds to wait.", "required": True, "schema": _SECONDS}
_CHALLENGE: Final = {"required": True, "schema": {"const": "Bearer"}}
_ANY: Final = {"4XX": "What is wrong with the request.", "5XX": "Nothing is wrong with the request."}
_OF_THE_API: Final = {
    "401": ("Nobody is signed in.", {"WWW-Authenticate": _CHALLENGE}),
    "429": ("Too many requests of this user.", {"Retry-After": _RETRY}),
    "503": ("A server that this needs is away.", {"Retry-After": _RETRY}),
}


class DocumentedApp(FastAPI):
    """Completes the document once it is made. `raw`: by path, operations of routes that the framework does not read."""

    raw: Mapping[str, Any] = MappingProxyType({})

    def openapi(self) -> dict[str, Any]:
        fresh = self.openapi_schema is None
        document = super().openapi()
        if fresh:
            document["paths"] |= copy.deepcopy(dict(self.raw))
            _complete(document)
        return document


def raw_operation(
    name: str,
    description: str,
    *,
    path: str,
    headers: Sequence[str],
    answer: tuple[int, type[BaseModel]],
    body: type[BaseModel] | None = None,
) -> dict[str, Any]:
    """A POST that the framework does not read: its one path parameter, headers, body (None: any), status and answer."""
    status, model = answer
    operation: dict[str, Any] = {
        "tags": [name.partition("_")[0]],
        "summary": name.partition("_")[2].capitalize(),
        "description": description,
        "operationId": name,
        "parameters": [
            {"name": path, "in": "path", "required": True, "schema": _TEXT},
            *({"name": each, "in": "header", "required": False, "schema": _TEXT} for each in headers),
        ],
        "responses": {str(status): {"description": "Successful Response", "content": _content(model)}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return {"post": operation}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": model.model_json_schema(ref_template=_REF)}}


def _complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            for status, description in _ANY.items():
                responses[status] = _problem(description)
            if path.startswith("/api/"):
                for status, (description, headers) in _OF_THE_API.items():
                    responses[status] = _problem(description) | {"headers": headers}
            if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ())):
                for status in responses.keys() & {"201", "202"}:
                    responses[status]["headers"] = {"Location": _LOCATION, "Idempotency-Replayed": _REPLAYED}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schemas.update(content["schema"].pop("$defs", {}))


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="ProblemBody")}}}}
