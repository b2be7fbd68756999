"""All metrics as a table, and the object that holds their values. Labels are bounded: never a tenant, source or run."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

Kind = Literal["counter", "gauge", "histogram"]

_SHORT = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. `labels` name the label and, where the set is closed, all its values (then shown from the start)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()


def _label(name: str, *values: str) -> tuple[str, tuple[str, ...]]:
    return name, values


_QUEUE = _label("queue")
_SOURCE_TYPE = _label("source_type")

MESSAGES_PROCESSED = MetricSpec(
    "headrace_messages_processed_total",
    "counter",
    "Messages settled, by queue and by what became of them.",
    (_QUEUE, _label("outcome")),
)
PROCESSING_SECONDS = MetricSpec(
    "headrace_processing_seconds", "histogram", "Time a handler spent on one message.", (_QUEUE,), _SHORT
)
MESSAGE_AGE_SECONDS = MetricSpec(
    "headrace_message_age_seconds", "histogram", "Age of a message when its handler starts.", (_QUEUE,), _LONG
)
LIMITER_WAIT_SECONDS = MetricSpec(
    "headrace_limiter_wait_seconds", "histogram", "Wait that the limiter imposed on a call.", (_SOURCE_TYPE,), _LONG
)
LIMITER_DECISIONS = MetricSpec(
    "headrace_limiter_decisions_total",
    "counter",
    "Answers of the limiter: granted, parked until a slot, blocked by a vendor's 429, or an error of its own.",
    (_label("decision", "granted", "parked", "blocked", "error"),),
)
UPSTREAM_REQUESTS = MetricSpec(
    "headrace_upstream_requests_total",
    "counter",
    "Calls to vendors, by status class: 2xx, 3xx, 4xx, 429, 5xx, or none when no answer came.",
    (_SOURCE_TYPE, _label("status_class")),
)
CACHE_EVENTS = MetricSpec(
    "headrace_cache_events_total",
    "counter",
    "Vendors' answers in the cache: used instead of a call, not there, confirmed by the vendor as still good, kept, "
    "not kept for want of room, or not looked for because Redis was away.",
    (_label("event", "hit", "miss", "confirmed", "kept", "no_room", "away"),),
)
BATCH_ROWS = MetricSpec(
    "headrace_batch_rows_total",
    "counter",
    "Rows of committed batches, by what became of them.",
    (_label("outcome", "inserted", "updated", "unchanged", "deleted", "filtered", "duplicates", "quarantined"),),
)
BATCH_SECONDS = MetricSpec(
    "headrace_batch_seconds", "histogram", "Time of one batch's transaction, commit included.", (), _SHORT
)
OUTBOX_DEPTH = MetricSpec("headrace_outbox_depth", "gauge", "Outbox rows that are not published yet.")
OUTBOX_AGE_SECONDS = MetricSpec(
    "headrace_outbox_oldest_age_seconds", "gauge", "Age of the oldest outbox row that is not published yet."
)
DUE_UNSCHEDULED_AGE_SECONDS = MetricSpec(
    "headrace_due_unscheduled_age_seconds", "gauge", "How long the most overdue source has waited for its run."
)
RUNS_FINISHED = MetricSpec(
    "headrace_runs_finished_total",
    "counter",
    "Runs that ended, by status.",
    (_label("status", "succeeded", "partial", "failed", "cancelled"),),
)
DEAD_LETTERS = MetricSpec("headrace_dead_letters_total", "counter", "Messages stored as dead letters.", (_QUEUE,))
EVENT_LOOP_LAG_SECONDS = MetricSpec(
    "headrace_event_loop_lag_seconds", "histogram", "How late the event loop wakes a sleeper.", (), _SHORT
)
PUBLISH_CONFIRMS = MetricSpec(
    "headrace_publish_confirms_total",
    "counter",
    "Publishes by the broker's answer: ack, refused (queue full or unroutable), unknown (connection lost, timeout).",
    (_label("result", "ack", "refused", "unknown"),),
)

METRICS: tuple[MetricSpec, ...] = (
    MESSAGES_PROCESSED,
    PROCESSING_SECONDS,
    MESSAGE_AGE_SECONDS,
    LIMITER_WAIT_SECONDS,
    LIMITER_DECISIONS,
    UPSTREAM_REQUESTS,
    CACHE_EVENTS,
    BATCH_ROWS,
    BATCH_SECONDS,
    OUTBOX_DEPTH,
    OUTBOX_AGE_SECONDS,
    DUE_UNSCHEDULED_AGE_SECONDS,
    RUNS_FINISHED,
    DEAD_LETTERS,
    EVENT_LOOP_LAG_SECONDS,
    PUBLISH_CONFIRMS,
)


class Metrics:
    """One process's values: `metrics.batch_rows.labels("inserted").inc(40)`. `registry` is what /metrics shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.messages_processed = self._counter(MESSAGES_PROCESSED)
        self.processing_seconds = self._histogram(PROCESSING_SECONDS)
        self.message_age_seconds = self._histogram(MESSAGE_AGE_SECONDS)
        self.limiter_wait_seconds = self._histogram(LIMITER_WAIT_SECONDS)
        self.limiter_decisions = self._counter(LIMITER_DECISIONS)
        self.upstream_requests = self._counter(UPSTREAM_REQUESTS)
        self.cache_events = self._counter(CACHE_EVENTS)
        self.batch_rows = self._counter(BATCH_ROWS)
        self.batch_seconds = self._histogram(BATCH_SECONDS)
        self.outbox_depth = self._gauge(OUTBOX_DEPTH)
        self.outbox_oldest_age_seconds = self._gauge(OUTBOX_AGE_SECONDS)
        self.due_unscheduled_age_seconds = self._gauge(DUE_UNSCHEDULED_AGE_SECONDS)
        self.runs_finished = self._counter(RUNS_FINISHED)
        self.dead_letters = self._counter(DEAD_LETTERS)
        self.event_loop_lag_seconds = self._histogram(EVENT_LOOP_LAG_SECONDS)
        self.publish_confirms = self._counter(PUBLISH_CONFIRMS)

    def _counter(self, spec: MetricSpec) -> Counter:
        counter = Counter(spec.name, spec.help, _names(spec), registry=self.registry)
        if len(spec.labels) == 1:
            for value in spec.labels[0][1]:
                counter.labels(value)  # a series that appears only at its first error cannot be alerted on
        return counter

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.help, _names(spec), registry=self.registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        return Histogram(spec.name, spec.help, _names(spec), registry=self.registry, buckets=spec.buckets)


def _names(spec: MetricSpec) -> tuple[str, ...]:
    return tuple(name for name, _ in spec.labels)


def status_class(status: int | None) -> str:
    """The bounded label of an HTTP status: `2xx` … `5xx`, `429` by itself, `none` when no answer came."""
    if status is None:
        return "none"
    return "429" if status == 429 else f"{status // 100}xx"
