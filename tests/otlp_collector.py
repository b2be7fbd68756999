"""A collector of spans on this machine: takes OTLP over HTTP and keeps all of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sandboxes.serving import running


@dataclass
class Collector:
    """`bodies` as they came, uncompressed."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        assert request.path == "/v1/traces"
        self.bodies.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    def spans(self) -> list[Span]:
        found = []
        for body in self.bodies:
            sent = ExportTraceServiceRequest.FromString(body)
            found += [span for part in sent.resource_spans for scope in part.scope_spans for span in scope.spans]
        return found


def attributes(span: Span) -> dict[str, str | int]:
    """Of text and integers, which are all that we set."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A running one."""
    collector = Collector()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", collector.take)
    async with running(app) as url:
        collector.url = url
        yield collector
