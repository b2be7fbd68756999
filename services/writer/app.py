"""The writer's composition root."""

from services.writer.handlers import WriteHandler
from services.writer.hooks import WriterHooks
from shared.messaging.consumer import BatchConsumer
from shared.runtime.consuming import ConsumerService, ServiceObserver
from shared.runtime.resources import Resources
from shared.runtime.service import Service

ROLE = "headrace_writer"
MAX_BATCHES = 16
"""Batches written in one transaction at most; with MAX_BYTES it bounds memory and how long the run's row is held."""
MAX_BYTES = 8_000_000
WORKERS = 1
"""Batches of one entity are written one after another anyway; what arrives meanwhile goes into one transaction. More at
once is what more processes are for."""


def build(resources: Resources) -> Service:
    """Batches in, rows out."""
    db, bus = resources.need_database(), resources.bus
    return ConsumerService(
        "writer",
        resources,
        consumers=(
            BatchConsumer(
                bus, "write", WriteHandler(db, bus, resources.metrics).on_pages_transformed,
                workers=WORKERS, prefetch=2 * MAX_BATCHES, max_batch=MAX_BATCHES, max_bytes=MAX_BYTES,
                hooks=WriterHooks(db, bus), clock=resources.clock, observer=ServiceObserver(resources),
            ),
        ),
    )  # fmt: skip
