"""Every error of the API as RFC 9457 `application/problem+json`: what is wrong, what to do, never what was sent."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import Category, ConfigurationError, HeadraceError, MappingError, PlatformAwayError
from shared.observability.logging import get_logger

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:headrace:problem:"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class FieldError(BaseModel):
    """One field that is wrong. `pointer`: a JSON pointer into the body, or the name of a query or path parameter."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    detail: str


class ProblemBody(BaseModel):
    """The shape of every error."""

    type: str = Field(description="`urn:headrace:problem:…`: stable, for programs.")
    title: str
    status: int
    detail: str
    category: Category
    hint: str
    errors: list[FieldError] | None = None
    run_id: uuid.UUID | None = Field(default=None, description="409: the run that is in the way.")
    correlation_id: str | None = Field(default=None, description="500: names the line in the log.")


class ProblemError(Exception):
    """Raised anywhere below a route; becomes the answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        category: Category = "CONFIG_ERROR",
        hint: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        run_id: uuid.UUID | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.body = ProblemBody(
            type=_TYPE + kind,
            title=_TITLES.get(kind, kind.replace("-", " ").capitalize()),
            status=status,
            detail=detail,
            category=category,
            hint=hint,
            errors=list(errors) or None,
            run_id=run_id,
            correlation_id=correlation_id,
        )

    def response(self) -> JSONResponse:
        """The answer."""
        content = self.body.model_dump(mode="json", exclude_none=True)
        return JSONResponse(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)


_TITLES = {
    "unauthenticated": "Sign in",
    "not-found": "Not found",
    "conflict": "Conflict",
    "invalid": "The request is not valid",
    "too-large": "The request is too large",
    "unavailable": "Not available now",
    "internal": "Something went wrong here",
}


def not_found(what: str) -> ProblemError:
    """404, the same for what does not exist and for what is another user's."""
    return ProblemError(404, "not-found", f"There is no such {what}.", hint="Check the id.")


def conflict(detail: str, *, hint: str = "", run_id: uuid.UUID | None = None) -> ProblemError:
    """409; `run_id` names the run that is in the way."""
    return ProblemError(409, "conflict", detail, hint=hint, run_id=run_id)


def invalid(
    errors: Sequence[FieldError],
    *,
    hint: str = "Correct the fields named in `errors`.",
    category: Category = "CONFIG_ERROR",
) -> ProblemError:
    """422 that says which fields are wrong."""
    first = errors[0]
    detail = f"{first.pointer}: {first.detail}" if first.pointer else first.detail
    return ProblemError(422, "invalid", detail, category=category, hint=hint, errors=errors)


def unavailable(detail: str, hint: str) -> ProblemError:
    """503: a server that we need is away."""
    return ProblemError(503, "unavailable", detail, category="NETWORK_ERROR", hint=hint, headers={"Retry-After": "5"})


def pointer(*parts: object) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def field_errors(errors: Sequence[Mapping[str, Any]], *prefix: str) -> list[FieldError]:
    """pydantic's errors without the values that were sent, pointing into the request's body."""
    found: list[FieldError] = []
    for error in errors[:50]:
        place = [*prefix, *(part for part in error["loc"] if part != "[key]")]
        found.append(FieldError(pointer=pointer(*place), detail=_detail(error)))
    return found


def _detail(error: Mapping[str, Any]) -> str:
    # The messages that quote what was sent are written anew: it may be a secret in the wrong place.
    if error["type"] == "union_tag_invalid":
        return f"expected one of {error.get('ctx', {}).get('expected_tags', 'the known types')}"
    if error["type"] in ("uuid_parsing", "json_invalid"):
        return "is not a UUID" if error["type"] == "uuid_parsing" else "is not valid JSON"
    if str(error["type"]).startswith(("date", "time")):
        return "is not a date or time in ISO 8601 form, with its offset"
    return str(error["msg"]).removeprefix("Value error, ")


def install(app: FastAPI) -> None:
    """Turn whatever a route raises into a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(_request: Request, error: ProblemError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        if any(each["loc"][0] == "body" for each in error.errors()) and not _is_json(request):
            return _not_json().response()
        found = []
        for each in error.errors():
            wrapper, *place = each["loc"]
            named = str(place[0]) if wrapper != "body" and place else pointer(*place)
            if each["type"] == "json_invalid":
                named = ""
            found.append(FieldError(pointer=named, detail=_detail(each)))
        return invalid(found[:50]).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return from_http(request, error).response()

    @app.exception_handler(PlatformAwayError)
    async def _away(_request: Request, _error: PlatformAwayError) -> JSONResponse:
        return unavailable(
            "The database or the queue cannot serve now.", "Nothing was lost; try again soon."
        ).response()

    @app.exception_handler(HeadraceError)
    async def _ours(_request: Request, error: HeadraceError) -> JSONResponse:
        if isinstance(error, ConfigurationError | MappingError):
            found = [FieldError(pointer="", detail=error.message)]
            return invalid(found, hint=error.hint, category=error.category).response()
        raise error


def from_http(request: Request, error: HTTPException) -> ProblemError:
    """What the framework itself refuses: unknown paths, methods, bodies it cannot read."""
    if error.status_code == 404:
        return ProblemError(
            404, "not-found", "There is nothing at this address.", hint="The routes are listed at /docs."
        )
    if error.status_code == 405:
        allowed = ", ".join(_allowed(request))
        return ProblemError(
            405,
            "method-not-allowed",
            "This address does not take this method.",
            hint=f"Allowed: {allowed}",
            headers={"Allow": allowed},
        )
    return ProblemError(
        error.status_code,
        "bad-request",
        "The request cannot be read.",
        hint="Send a body of JSON in UTF-8, no more than a few levels deep and with numbers of a usual length.",
        headers=error.headers,
    )


def _allowed(request: Request) -> list[str]:
    """The framework names the methods of the first route that has the path; an address may have several."""
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def _is_json(request: Request) -> bool:
    """True for a request without a body too: it is the body that is missing then."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return True
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoded = headers.get("content-encoding", "identity").strip().lower() != "identity"
    return not encoded and (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")))


def _not_json() -> ProblemError:
    return ProblemError(
        415,
        "unsupported-media-type",
        "The body is not said to be JSON, or is compressed.",
        hint="Send `Content-Type: application/json` and the body as it is, without Content-Encoding.",
        headers={"Accept": "application/json"},
    )


class UnexpectedErrors:
    """Outermost: what nobody foresaw is logged under a correlation id, and the caller gets that id, never a stack."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = get_logger("gateway")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http":
                raise
            correlation_id = uuid.uuid4().hex
            self._log.exception(
                "request_failed", correlation_id=correlation_id, path=scope["path"], error=type(error).__name__
            )
            if started:
                return  # the connection closes in mid-answer: the caller sees that it is cut
            problem = ProblemError(
                500,
                "internal",
                "An error of ours; nothing of the request was kept unless a later read shows it.",
                category="INTERNAL_ERROR",
                hint=f"Try again; if it happens again, report the correlation id {correlation_id}.",
                correlation_id=correlation_id,
            )
            await problem.response()(scope, receive, watched)
