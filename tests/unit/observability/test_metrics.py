import re

import pytest
from prometheus_client import generate_latest

from shared.observability.metrics import METRICS, Metrics, MetricSpec, status_class

UNBOUNDED = {"tenant", "user", "user_id", "source", "source_id", "run", "run_id", "url", "path", "account", "kid"}


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_names_and_labels_follow_the_rules(spec: MetricSpec) -> None:
    assert re.fullmatch(r"headrace_[a-z_]+", spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert (spec.kind == "histogram") == bool(spec.buckets)
    assert spec.help.endswith(".")
    assert not {name for name, _ in spec.labels} & UNBOUNDED


def test_the_table_and_the_object_are_the_same() -> None:
    metrics = Metrics()
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in metrics.registry.collect()
        if family.name.startswith("headrace_")
    }
    assert {name: family.type for name, family in shown.items()} == {spec.name: spec.kind for spec in METRICS}
    attributes = {f"headrace_{name}" for name in vars(metrics)} - {"headrace_registry"}
    assert attributes == {spec.name.removesuffix("_total") for spec in METRICS}


def test_values_belong_to_their_object() -> None:
    one, two = Metrics(), Metrics()
    one.messages_processed.labels("fetch", "acknowledged").inc()
    one.batch_rows.labels("inserted").inc(40)
    one.outbox_depth.set(3)
    one.processing_seconds.labels("fetch").observe(0.2)
    text = generate_latest(one.registry).decode()
    assert 'headrace_messages_processed_total{outcome="acknowledged",queue="fetch"} 1.0' in text
    assert 'headrace_batch_rows_total{outcome="inserted"} 40.0' in text
    assert two.registry.get_sample_value("headrace_batch_rows_total", {"outcome": "inserted"}) == 0


def test_closed_label_sets_are_shown_from_the_start() -> None:
    registry = Metrics().registry
    for result in ("ack", "refused", "unknown"):
        assert registry.get_sample_value("headrace_publish_confirms_total", {"result": result}) == 0


def test_status_classes_are_few() -> None:
    assert {status_class(status) for status in range(100, 600)} == {"1xx", "2xx", "3xx", "4xx", "429", "5xx"}
    assert status_class(None) == "none"
