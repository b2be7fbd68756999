"""Calls to vendors as metrics and spans."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.coordination.ports import Decision
from shared.http.watch import Call
from shared.observability.metrics import Metrics, status_class
from shared.observability.tracing import Tracing


class CallMeter:
    """Implements GateWatch. A scope begins with the source's type, which is all of it that becomes a label."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    def of(self, source_type: str) -> "SourceCalls":
        """Who looks on while sources of this type call."""
        return SourceCalls(self._metrics, self._tracing, source_type)

    def decided(self, scope: str, decision: Decision) -> None:  # noqa: ARG002 - the port's shape
        self._metrics.limiter_decisions.labels(decision).inc()

    def reserved(self, scope: str, wait: float) -> None:
        self._metrics.limiter_wait_seconds.labels(scope.partition("|")[0]).observe(wait)


class SourceCalls:
    """Implements CallWatch."""

    def __init__(self, metrics: Metrics, tracing: Tracing, source_type: str) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._source_type = source_type

    @contextmanager
    def calling(self, method: str, host: str) -> Iterator[Call]:
        call = Call()
        told: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": host,
            "headrace.source_type": self._source_type,
        }
        with self._tracing.span(method, "client", told) as span:
            try:
                yield call
            finally:
                self._metrics.upstream_requests.labels(self._source_type, status_class(call.status)).inc()
                if call.status is not None:
                    span.note("http.response.status_code", call.status)
                    if call.status >= 400:
                        span.failed(str(call.status))
