"""When a sweep takes the place of an incremental read."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.connector_sdk.registry import discover_specs
from shared.connector_sdk.sync_rules import SyncRules

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MONTH = SyncRules(max_cursor_age=timedelta(days=30), full_sync_every="7d")


def reason(rules: SyncRules, *, every: str | None = None, read: timedelta, full: timedelta | None) -> str | None:
    last_full_at = None if full is None else NOW - full
    return rules.sweep_reason(every=every, read_at=NOW - read, last_full_at=last_full_at, now=NOW)


@pytest.mark.parametrize(
    ("rules", "every", "read", "full", "due"),
    [
        (MONTH, None, timedelta(hours=1), timedelta(days=6), None),
        (MONTH, None, timedelta(hours=1), timedelta(days=7), "a full read is due every 7d"),
        (MONTH, "30d", timedelta(hours=1), timedelta(days=8), None),
        (MONTH, "1h", timedelta(minutes=5), timedelta(hours=1), "a full read is due every 1h"),
        (MONTH, "365d", timedelta(days=29, hours=23), timedelta(days=40), None),
        (MONTH, "365d", timedelta(days=30), timedelta(days=40), "not read for more than 30 days"),  # with the overlap
        (SyncRules(), None, timedelta(days=900), None, None),
        (SyncRules(), "1d", timedelta(hours=1), None, "a full read is due every 1d"),
    ],
)
def test_what_slept_and_what_is_due(
    rules: SyncRules, every: str | None, read: timedelta, full: timedelta | None, due: str | None
) -> None:
    assert reason(rules, every=every, read=read, full=full) == due


def test_rules_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="each run would be a sweep"):
        SyncRules(max_cursor_age=timedelta(minutes=5))
    with pytest.raises(ValueError, match="expected a number and h, d or w"):
        SyncRules(full_sync_every="sometimes")


def test_vendors_that_look_back_30_days_are_swept_after_them() -> None:
    specs = discover_specs()
    ages = {name: spec.sync_rules.max_cursor_age for name, spec in specs.items()}
    assert ages["quickbooks"] == ages["finale_inventory"] == timedelta(days=30)
    assert ages["json_api"] is ages["csv_api"] is None
