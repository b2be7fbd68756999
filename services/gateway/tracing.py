"""A span for each request, named by its route: never by its path, which holds ids."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.observability.tracing import Tracing


class TracedRequests:
    """Outermost. A caller's traceparent is not followed: strangers would decide what is one trace of ours."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method: str = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        with self._tracing.span(method, "server", {"http.request.method": method}) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.note("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.failed(str(message["status"]))
                await send(message)

            await self._app(scope, receive, watched)
            route = getattr(scope.get("route"), "path", None)
            if isinstance(route, str):
                span.name(f"{method} {route}")
                span.note("http.route", route)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
