"""What the services' bus stamps and counts, whatever the adapter below it does."""

import pytest

from shared.clock import SystemClock
from shared.errors import BackpressureError, PlatformAwayError
from shared.messaging.memory import MemoryBus, MemoryFaults
from shared.messaging.ports import ENDED, SENT, Message
from shared.observability.metrics import Metrics
from shared.observability.tracing import NoTracing
from shared.runtime.observed_bus import ObservedBus


class Watched:
    """An observed bus, and what it has counted."""

    def __init__(self) -> None:
        self.faults = MemoryFaults()
        self.inner = MemoryBus(faults=self.faults)
        self.metrics = Metrics()
        self.bus = ObservedBus(self.inner, self.metrics, SystemClock(), NoTracing())

    def confirms(self) -> dict[str, float]:
        found = {}
        for result in ("ack", "refused", "unknown"):
            found[result] = self.metrics.registry.get_sample_value(
                "headrace_publish_confirms_total", {"result": result}
            )
        return {name: value for name, value in found.items() if value}


async def test_every_publish_is_counted_by_its_answer() -> None:
    watched = Watched()
    await watched.bus.publish("fetch", Message("test", b"1"))
    await watched.bus.publish_many("transform", [Message("test", b"2")] * 64)
    assert watched.confirms() == {"ack": 65}
    with pytest.raises(BackpressureError):
        await watched.bus.publish("transform", Message("test", b"3"))
    watched.faults.away = True
    with pytest.raises(PlatformAwayError):
        await watched.bus.publish("fetch", Message("test", b"4"))
    assert watched.confirms() == {"ack": 65, "refused": 1, "unknown": 1}
    await watched.bus.close()


async def test_a_delayed_message_is_as_old_as_it_could_have_been_handled() -> None:
    watched = Watched()
    began = SystemClock().unix() * 1000
    async with watched.inner.subscribe("fetch", prefetch=2) as deliveries:
        await watched.bus.publish("fetch", Message("test", b"", {SENT: 1, "attempt_transient": 2}), delay=0.2)
        async for delivery in deliveries:
            sent = delivery.message.headers[SENT]
            assert isinstance(sent, int)
            assert 190 <= sent - began <= 10_000, "an older stamp counts no more"
            assert delivery.message.headers["attempt_transient"] == 2
            await delivery.ack()
            break
    await watched.bus.close()


async def test_a_run_is_counted_when_its_end_is_announced() -> None:
    watched = Watched()
    await watched.bus.announce(Message("run.changed", b"{}"))
    await watched.bus.announce(Message("run.changed", b"{}", {ENDED: "partial"}))
    ended = watched.metrics.registry.get_sample_value("headrace_runs_finished_total", {"status": "partial"})
    assert ended == 1
    await watched.bus.close()
