"""The company's paths: read, write, query, change data capture and batch."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from sandboxes.data.documents import decode
from sandboxes.quickbooks import writes
from sandboxes.quickbooks.company import Company
from sandboxes.quickbooks.entities import SPECS, SPECS_BY_PATH, Spec
from sandboxes.quickbooks.query import changes, query
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.wire import QuickBooksError, fault_of, reply

_MAX_REQUEST_ID = 50
_MAX_REMEMBERED = 10_000
_MAX_DEPTH = 20
Payload = dict[str, Any]


class CompanyApi:
    """The handlers of `/v3/company/{realm}/...`; who may call is settled before they run."""

    def __init__(self, state: QuickBooksState) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        """Fixed paths stand before those of the entities."""
        base = "/v3/company/{realm}"
        return [
            web.get(f"{base}/query", self.get_query),
            web.post(f"{base}/query", self.post_query),
            web.get(f"{base}/cdc", self.get_changes),
            web.post(f"{base}/batch", self.post_batch),
            web.get(f"{base}/{{entity}}/{{id}}", self.read),
            web.post(f"{base}/{{entity}}", self.write),
        ]

    async def get_query(self, request: web.Request) -> web.Response:
        """The statement in the URL."""
        return self._query(request, request.query.get("query", ""))

    async def post_query(self, request: web.Request) -> web.Response:
        """The statement as the body."""
        try:
            return self._query(request, (await request.read()).decode())
        except UnicodeDecodeError:
            raise QuickBooksError("4000", "QueryParserError: the statement is not UTF-8") from None

    def _query(self, request: web.Request, statement: str) -> web.Response:
        if not statement.strip():
            raise QuickBooksError("2020", "Required parameter query is missing in the request", "query")
        return self._reply(request, {"QueryResponse": query(self._company(request), statement)})

    async def get_changes(self, request: web.Request) -> web.Response:
        """Change data capture."""
        found = changes(self._company(request), request.query, self._state.clock.wall())
        return self._reply(request, {"CDCResponse": [{"QueryResponse": found}]})

    async def read(self, request: web.Request) -> web.Response:
        """One record; a company's own id is 1, and its realm works too."""
        company, spec = self._company(request), _spec(request)
        wanted = request.match_info["id"]
        row = company.find(spec.name, "1" if spec.kind == "single" and wanted == company.realm else wanted)
        hidden = self._state.switches.read_inactive == "610"
        if row is None or (hidden and row.data.get("Active") is False):
            detail = f"Object Not Found : Something you're trying to use has been made inactive. {spec.name} {wanted}"
            raise QuickBooksError("610", detail, "Id")
        return self._reply(request, {spec.name: company.text(row)})

    async def write(self, request: web.Request) -> web.Response:
        """Create, update or delete one record."""
        company, spec = self._company(request), _spec(request)
        body = await request.read()
        operation = request.query.get("operation", "")

        def perform() -> Payload:
            data = _object(body)
            if operation == "delete":
                return {spec.name: writes.delete(company, spec, data)}
            if operation not in ("", "update"):
                raise QuickBooksError("500", f"Operation {operation} is not supported.")
            return {spec.name: company.text(writes.write(company, spec, data))}

        return self._reply(request, self._once(request, company, body, perform))

    async def post_batch(self, request: web.Request) -> web.Response:
        """Several operations one after the other, each with an answer of its own."""
        company, body = self._company(request), await request.read()

        def perform() -> Payload:
            parts = _object(body).get("BatchItemRequest")
            if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
                detail = "Required parameter BatchItemRequest is missing in the request"
                raise QuickBooksError("2020", detail, "BatchItemRequest")
            if len(parts) > self._state.switches.batch_max:
                raise QuickBooksError("1040", f"A batch has at most {self._state.switches.batch_max} operations.")
            return {"BatchItemResponse": [_part(company, part) for part in parts]}

        return self._reply(request, self._once(request, company, body, perform))

    def _once(self, request: web.Request, company: Company, body: bytes, perform: Callable[[], Payload]) -> Payload:
        """Perform, unless the `requestid` says that it is done. What fails may be tried again under the same id."""
        request_id = request.query.get("requestid")
        if request_id is None:
            return perform()
        if not 1 <= len(request_id) <= _MAX_REQUEST_ID:
            raise QuickBooksError("600", f"requestid has 1 to {_MAX_REQUEST_ID} characters.", "requestid")
        subject = f"{request.path} {request.query.get('operation', '')} ".encode()
        content = sha256(subject + body).digest()
        known = company.requests.get(request_id)
        if known is not None:
            if known[0] != content and self._state.switches.requestid_reuse == "fault":
                raise QuickBooksError("600", f"Duplicate Request ID : {request_id}", "requestid")
            return known[1]
        done = perform()
        if len(company.requests) >= _MAX_REMEMBERED:
            del company.requests[next(iter(company.requests))]
        company.requests[request_id] = (content, done)
        return done

    def _company(self, request: web.Request) -> Company:
        return self._state.companies[request.match_info["realm"]]

    def _reply(self, request: web.Request, payload: Mapping[str, Any]) -> web.Response:
        return reply(request, payload, self._state.clock.wall())


def _part(company: Company, part: Payload) -> Payload:
    answer: Payload = {"bId": part["bId"]} if "bId" in part else {}
    try:
        if not isinstance(part.get("bId"), str):
            raise QuickBooksError("2020", "Required parameter bId is missing in the request", "bId")  # noqa: TRY301
        return {**answer, **_perform(company, part)}
    except QuickBooksError as error:
        return {**answer, "Fault": fault_of(error)}


def _perform(company: Company, part: Payload) -> Payload:
    if isinstance(part.get("Query"), str):
        return {"QueryResponse": query(company, part["Query"])}
    spec = next((spec for name, spec in SPECS.items() if isinstance(part.get(name), dict)), None)
    if spec is None:
        raise QuickBooksError("2020", "Required parameter entity is missing in the request")
    body: Payload = part[spec.name]
    match part.get("operation"):
        case "create":
            row = writes.write(company, spec, {**body, "Id": None})
        case "update":
            row = writes.update(company, spec, body)
        case "delete":
            return {spec.name: writes.delete(company, spec, body)}
        case other:
            raise QuickBooksError("2170", f"operation is create, update or delete, not {other}", "operation")
    return {spec.name: company.text(row)}


def _object(body: bytes) -> Payload:
    """The JSON object that was sent. QuickBooksError when it is none or nested beyond reason."""
    try:
        found = decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise QuickBooksError("2010", "The request is not well-formed JSON.") from None
    if not isinstance(found, dict) or _depth(found) > _MAX_DEPTH:
        raise QuickBooksError("2010", "The request is no object of an entity.")
    return found


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ())
            if isinstance(part, dict | list)
        ]
    return depth


def _spec(request: web.Request) -> Spec:
    spec = SPECS_BY_PATH.get(request.match_info["entity"])
    if spec is None:
        raise web.HTTPNotFound
    return spec
