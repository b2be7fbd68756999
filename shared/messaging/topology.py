"""Exchanges and queues as data: the one place that names them."""

from typing import Literal, NamedTuple, get_args

QueueName = Literal["requests", "fetch", "probe", "preview", "transform", "write", "dead", "public"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)

EXCHANGE = "headrace"
EVENTS_EXCHANGE = "headrace.events"
PUBLIC_EXCHANGE = "headrace.public"
PUBLIC_KINDS = ("sync.requested",)
"""Routing keys of the public exchange; all of them lead to the queue `public`."""

DELIVERY_LIMIT = 20
"""Times one message may come back before the broker dead-letters it: well above the deploys it may live through."""
UNDYING = 1_000_000
"""The delivery limit of the dead letters themselves. Positive: -1 drops at the first return on RabbitMQ 3.10."""

DELAY_STEPS = tuple(2**power for power in range(12))
"""Seconds of each delay queue, 1 s to 2048 s; a longer delay hops again."""
MAX_DELAY = 3600.0
"""Seconds; what is later than this belongs into Postgres."""
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Above RabbitMQ's own limit (16 MiB from 4.0) a publish closes the channel and takes its neighbours with it."""


class QueueSpec(NamedTuple):
    """What correctness needs of a queue; all else is the operator's policy."""

    name: QueueName
    max_length: int | None
    """None: bounded by the number of active runs. A full queue refuses publishes (softly: in flight ones may pass)."""
    delivery_limit: int = DELIVERY_LIMIT
    dead_letters: bool = True
    """False: what leaves the queue by the broker's hand is dropped."""


TOPOLOGY: tuple[QueueSpec, ...] = (
    QueueSpec("requests", None),
    QueueSpec("fetch", None),
    QueueSpec("probe", 100, dead_letters=False),  # who asked has stopped waiting by then
    QueueSpec("preview", 100, dead_letters=False),  # likewise
    QueueSpec("transform", 64),
    QueueSpec("write", 64),
    QueueSpec("dead", None, delivery_limit=UNDYING, dead_letters=False),
    QueueSpec("public", 10_000),
)


def delay_step(seconds: float, steps: tuple[int, ...] = DELAY_STEPS) -> int | None:
    """The largest delay queue that doesn't overshoot `seconds` by itself; None when less than the smallest remains."""
    fitting = [step for step in steps if step <= seconds]
    return fitting[-1] if fitting else None
