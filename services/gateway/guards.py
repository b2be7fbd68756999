"""What every answer carries and every request must keep: security headers, HEAD, and a bound on bodies."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problems import ProblemError

MAX_BODY_BYTES = 1024 * 1024

_NO_CONTENT_AT_ALL = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PAGES = ("/", "/docs", "/oauth/quickbooks/callback")
_PLAIN_PAGES = ("/", "/docs", "/healthz", "/readyz")
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class SecurityHeaders:
    """nosniff, no framing, no referrer, nothing cached, and a policy that lets an answer load nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["X-Frame-Options"] = "DENY"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cache-Control"] = "no-store"
                headers["Content-Security-Policy"] = _PAGE_POLICY if scope["path"] in _PAGES else _NO_CONTENT_AT_ALL
            await send(message)

        await self._app(scope, receive, with_headers)


class HeadRequests:
    """HEAD is GET whose body the server leaves out: not where a GET spends something (a code, a consent) or streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and _only_reads(scope):
            inner = {**scope, "method": "GET"}  # the server's own stays, so it knows that no body may follow
            await self._app(inner, receive, send)
            if "route" in inner:
                scope["route"] = inner["route"]  # traces are named by it
            return
        await self._app(scope, receive, send)


def _only_reads(scope: Scope) -> bool:
    path: str = scope["path"]
    if path.startswith("/api/"):
        return not path.endswith("/events")
    return path in _PLAIN_PAGES and not scope["query_string"]


class BodyLimit:
    """Reads a request's body whole, up to the limit, before any route runs; more is a 413."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        body = None if declared.isdigit() and int(declared) > self._limit else await self._read(receive)
        if body is None:
            await self._too_large().response()(scope, receive, send)
            return
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message if message is not None else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """None: larger than the limit."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)  # the caller went away
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> ProblemError:
        return ProblemError(
            413,
            "too-large",
            f"A request's body may have at most {self._limit} bytes.",
            hint="Send less in one request.",
            headers={"Connection": "close"},
        )
