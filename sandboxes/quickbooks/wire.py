"""How answers and faults look on the wire: upper-case JSON, lower-case JSON, XML, and pages that are none of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

from aiohttp import web

from sandboxes.data.documents import decode, encode
from sandboxes.quickbooks.clock import answer_time

Form = Literal["Fault", "fault", "xml"]

_VALIDATION = "ValidationFault"
CODES: Mapping[str, tuple[int, str, str]] = {
    "100": (401, "AUTHENTICATION", "General Authentication Error"),
    "120": (401, "AuthorizationFault", "Authorization Failure"),
    "500": (400, _VALIDATION, "Unsupported Operation"),
    "600": (400, _VALIDATION, "Duplicate Request ID"),
    "610": (400, _VALIDATION, "Object Not Found"),
    "620": (400, _VALIDATION, "Transaction Could Not Be Linked"),
    "1040": (400, _VALIDATION, "Batch Size Exceeded"),
    "2010": (400, _VALIDATION, "Request has invalid or unsupported property"),
    "2020": (400, _VALIDATION, "Required param missing, need to supply the required value for the API"),
    "2170": (400, _VALIDATION, "Invalid Enumeration"),
    "2500": (400, _VALIDATION, "Invalid Reference Id"),
    "3001": (429, "SERVICE", "message=ThrottleExceeded; errorCode=003001; statusCode=429"),
    "3100": (403, "AuthorizationFault", "message=ApplicationAuthorizationFailed; errorCode=003100; statusCode=403"),
    "3200": (401, "AUTHENTICATION", "message=AuthenticationFailed; errorCode=003200; statusCode=401"),
    "4000": (400, _VALIDATION, "Error parsing query"),
    "4001": (400, _VALIDATION, "Invalid query"),
    "4002": (400, _VALIDATION, "QueryProcessingError"),
    "5010": (400, _VALIDATION, "Stale Object Error"),
    "6000": (400, _VALIDATION, "A business validation error has occurred while processing your request"),
    "6070": (400, _VALIDATION, "Amount is not equal to UnitPrice * Qty"),
    "6140": (400, _VALIDATION, "Duplicate Document Number Error"),
    "6190": (400, _VALIDATION, "Invalid Company Status"),
    "6210": (400, _VALIDATION, "Account Period Closed, Cannot Update Through Services API"),
    "6240": (400, _VALIDATION, "Duplicate Name Exists Error"),
    "6540": (400, _VALIDATION, "Deposited Transaction cannot be changed"),
    "10000": (500, "SystemFault", "An application error has occurred while processing your request"),
}
"""HTTP status, fault type and message of each code (Intuit documentation, error codes; texts differ in the wild)."""


class QuickBooksError(Exception):
    """A request that the vendor refuses."""

    def __init__(
        self,
        code: str,
        detail: str,
        element: str = "",
        *,
        form: Form = "Fault",
        status: int | None = None,
        message: str | None = None,
    ) -> None:
        usual, self.type, text = CODES.get(code, (400, _VALIDATION, "Error"))
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.element = element
        self.form = form
        self.status = status or usual
        self.message = message or text


def fault_of(error: QuickBooksError) -> dict[str, Any]:
    """The `Fault` object, as it also stands inside a batch."""
    entry = {"Message": error.message, "Detail": error.detail, "code": error.code, "element": error.element}
    return {"Error": [entry], "type": error.type}


def wants_json(request: web.Request) -> bool:
    """Whether the caller asked for JSON; everybody else gets XML."""
    return "application/json" in request.headers.get("Accept", "")


def reply(request: web.Request, payload: Mapping[str, Any], now: datetime) -> web.Response:
    """The answer with this content and the time behind it."""
    text = encode({**payload, "time": answer_time(now)})
    if wants_json(request):
        return web.Response(body=text, content_type="application/json", charset="utf-8")
    return _xml_response(_elements(decode(encode(payload))), 200, now)


def refuse(request: web.Request, error: QuickBooksError, now: datetime, *, in_200: bool = False) -> web.Response:
    """The fault in its own form; the upper-case form becomes XML for callers that did not ask for JSON."""
    status = 200 if in_200 and error.type == _VALIDATION else error.status
    if error.form == "fault":
        return web.Response(body=encode(_lower(error, now)), status=status, content_type="application/json")
    if error.form == "xml" or not wants_json(request):
        element = f" element={quoteattr(error.element)}" if error.element else ""
        inner = (
            f"<Fault type={quoteattr(error.type)}><Error code={quoteattr(error.code)}{element}>"
            f"<Message>{escape(error.message)}</Message><Detail>{escape(error.detail)}</Detail></Error></Fault>"
        )
        return _xml_response(inner, status, now)
    body = encode({"Fault": fault_of(error), "time": answer_time(now)})
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def page(status: int) -> web.Response:
    """What stands between the caller and the vendor answers with HTML."""
    text = (
        f"<html><head><title>{status}</title></head><body><h1>{status}</h1><p>Please try again later.</p></body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html")


def _lower(error: QuickBooksError, now: datetime) -> dict[str, Any]:
    entry = {"message": error.message, "detail": error.detail, "code": error.code, "element": error.element or None}
    return {
        "warnings": None,
        "intuitObject": None,
        "fault": {"error": [entry], "type": error.type},
        "report": None,
        "queryResponse": None,
        "batchItemResponse": [],
        "attachableResponse": [],
        "syncErrorResponse": None,
        "requestId": None,
        "time": int(now.timestamp() * 1000),
        "status": None,
        "cdcresponse": [],
    }


def _xml_response(inner: str, status: int, now: datetime) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<IntuitResponse time="{answer_time(now)}" xmlns="http://schema.intuit.com/finance/v3">{inner}</IntuitResponse>'
    )
    return web.Response(text=text, status=status, content_type="application/xml", charset="utf-8")


_ATTRIBUTES = ("domain", "sparse", "status", "startPosition", "maxResults", "totalCount", "bId", "type", "code")


def _elements(value: Mapping[str, Any]) -> str:
    return "".join(
        _element(name, part)
        for name, whole in value.items()
        for part in (whole if isinstance(whole, list) else [whole])
    )


def _element(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"<{name}>{escape(_plain(value))}</{name}>"
    if "value" in value:  # a reference: its name is an attribute
        label = f" name={quoteattr(value['name'])}" if "name" in value else ""
        return f"<{name}{label}>{escape(_plain(value['value']))}</{name}>"
    marks = [part for part in _ATTRIBUTES if part in value and not isinstance(value[part], dict | list)]
    attributes = "".join(f" {mark}={quoteattr(_plain(value[mark]))}" for mark in marks)
    return f"<{name}{attributes}>{_elements({key: part for key, part in value.items() if key not in marks})}</{name}>"


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
