"""The transformer's composition root: a queue in, a queue out, no database and no secret."""

from services.transformer.handlers import TransformHandler
from services.transformer.previews import on_preview_requested
from shared.messaging.consumer import Consumer
from shared.messaging.settle import BusOnlyHooks
from shared.runtime.consuming import ConsumerService, ServiceObserver
from shared.runtime.resources import Resources
from shared.runtime.service import Service


def build(resources: Resources) -> Service:
    """One page at a time: mapping is all CPU. More pages at once need more processes."""
    bus = resources.bus
    return ConsumerService(
        "transformer",
        resources,
        consumers=(
            Consumer(
                bus, "transform", TransformHandler(bus).on_page_fetched,
                workers=2, prefetch=3, hooks=BusOnlyHooks(bus, "transform"), clock=resources.clock,
                observer=ServiceObserver(resources),
            ),
            Consumer(
                bus, "preview", on_preview_requested,
                workers=1, prefetch=1, hooks=BusOnlyHooks(bus, "preview"), clock=resources.clock,
                observer=ServiceObserver(resources), breaker_limit=None,
            ),
        ),
    )  # fmt: skip
