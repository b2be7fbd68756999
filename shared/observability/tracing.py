"""Traces: spans over OTLP where HEADRACE_OTLP_ENDPOINT says so. Else nothing is recorded, nor even imported.

A span says what was done for how long: routes, queues, hosts, statuses. Never a path with its ids, a query, a header, a
body or an error's text. The context travels as a W3C traceparent, in headers.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Literal, Protocol

from shared.errors import StartupError

if TYPE_CHECKING:
    from opentelemetry import trace

SETTING: Final = "HEADRACE_OTLP_ENDPOINT"
FLUSH_SECONDS = 2.0
"""How long the end of a process may wait for the collector."""

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Value = str | int


class Span(Protocol):
    """What is being done now."""

    def name(self, text: str) -> None:
        """Known better now: a route, once it is matched."""
        ...

    def note(self, attribute: str, value: Value) -> None:
        """Something found out meanwhile: a status."""
        ...

    def failed(self, error: str) -> None:
        """The class of what went wrong."""
        ...


class Tracing(Protocol):
    """Where spans go."""

    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: str | None = None,
        everyday: tuple[type[Exception], ...] = (),
    ) -> AbstractContextManager[Span]:
        """A span below the current one, or below `parent` (a traceparent). An error that passes by is its failure,
        unless it is an `everyday` one: of that it only bears the name.
        """
        ...

    def traceparent(self) -> str | None:
        """Of the current span, to be sent along; None: there is none."""
        ...

    async def close(self) -> None:
        """Send what is left, for `FLUSH_SECONDS` at most."""
        ...


class _Nothing:
    def name(self, text: str) -> None:
        """Ignored."""

    def note(self, attribute: str, value: Value) -> None:
        """Ignored."""

    def failed(self, error: str) -> None:
        """Ignored."""


class NoTracing:
    """Implements Tracing where nobody wants to know."""

    _SPAN: Final = nullcontext(_Nothing())

    def span(
        self,
        name: str,  # noqa: ARG002 - the port's shape
        kind: Kind,  # noqa: ARG002
        attributes: Mapping[str, Value] | None = None,  # noqa: ARG002
        *,
        parent: str | None = None,  # noqa: ARG002
        everyday: tuple[type[Exception], ...] = (),  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        return self._SPAN

    def traceparent(self) -> str | None:
        return None

    async def close(self) -> None:
        """Nothing is left."""


class OtlpTracing:
    """Implements Tracing with the OpenTelemetry SDK, whose thread sends batches. Nothing global is touched."""

    def __init__(self, endpoint: str, service: str) -> None:
        """`endpoint`: the collector's base URL, or one that ends with /v1/traces. Raises StartupError."""
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError:
            raise StartupError(
                f"{SETTING} is set, but OpenTelemetry is not installed", hint="Install `headrace[tracing]`."
            ) from None
        base = endpoint.rstrip("/")
        url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
        self._provider = TracerProvider(
            resource=Resource.create({"service.namespace": "headrace", "service.name": service}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("headrace")

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: str | None = None,
        everyday: tuple[type[Exception], ...] = (),
    ) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        above = None if parent is None else TraceContextTextMapPropagator().extract({"traceparent": parent})
        with self._tracer.start_as_current_span(
            name,
            above,
            SpanKind[kind.upper()],
            attributes,
            record_exception=False,  # its text may quote what was sent
            set_status_on_exception=False,
        ) as current:
            span = _OtlpSpan(current)
            try:
                yield span
            except everyday as error:
                span.note("headrace.later", type(error).__name__)
                raise
            except BaseException as error:
                span.failed(type(error).__name__)
                raise

    def traceparent(self) -> str | None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier.get("traceparent")

    async def flush(self) -> None:
        """Send what there is now."""
        await asyncio.to_thread(self._provider.force_flush, int(FLUSH_SECONDS * 1000))

    async def close(self) -> None:
        # A thread of its own: one that hangs must not hold up the end of the process, as the loop's threads would.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        deadline = asyncio.get_running_loop().time() + FLUSH_SECONDS
        while closing.is_alive() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - sets no event
            await asyncio.sleep(0.02)


class _OtlpSpan:
    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def name(self, text: str) -> None:
        self._span.update_name(text)

    def note(self, attribute: str, value: Value) -> None:
        self._span.set_attribute(attribute, value)

    def failed(self, error: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.set_attribute("error.type", error)
        self._span.set_status(StatusCode.ERROR)


def tracing_to(endpoint: str, service: str) -> Tracing:
    """Empty: nowhere. Raises StartupError."""
    return OtlpTracing(endpoint, service) if endpoint else NoTracing()
