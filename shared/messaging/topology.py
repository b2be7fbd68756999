"""Exchanges and queues as data: the one place that names them."""

from typing import Literal, NamedTuple, get_args

QueueName = Literal["requests", "fetch", "probe", "transform", "write", "dead", "public"]
QUEUES: tuple[QueueName, ...] = get_args(QueueName)

EXCHANGE = "headrace"
EVENTS_EXCHANGE = "headrace.events"
PUBLIC_EXCHANGE = "headrace.public"
DELIVERY_LIMIT = 20
"""Deliveries of one message before the broker dead-letters it: well above the deploys it may live through."""

DELAY_STEPS = tuple(2**power for power in range(12))
"""Seconds of each delay queue, 1 s to 2048 s; a longer delay hops again."""


class QueueSpec(NamedTuple):
    """What correctness needs of a queue; all else is the operator's policy."""

    name: QueueName
    max_length: int | None
    """None: bounded by the number of active runs. A full queue refuses publishes."""


TOPOLOGY: tuple[QueueSpec, ...] = (
    QueueSpec("requests", None),
    QueueSpec("fetch", None),
    QueueSpec("probe", 100),
    QueueSpec("transform", 64),
    QueueSpec("write", 64),
    QueueSpec("dead", None),
    QueueSpec("public", 10_000),
)


def delay_step(seconds: float) -> int | None:
    """The largest delay queue that doesn't overshoot `seconds` by itself; None when less than the smallest remains."""
    fitting = [step for step in DELAY_STEPS if step <= seconds]
    return fitting[-1] if fitting else None
