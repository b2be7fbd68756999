"""When a source syncs next."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.contracts.schedule import INTERVALS, next_after, parse_frequency, parse_period

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("word", "distance"), INTERVALS.items())
def test_words_are_distances(word: str, distance: timedelta) -> None:
    assert next_after(word, NOON) == NOON + distance


def test_manual_never_comes() -> None:
    assert next_after("manual", NOON) is None


def test_cron_runs_on_the_clock_of_its_zone() -> None:
    assert next_after("cron:30 6 * * 1-5 Europe/Berlin", NOON) == datetime(2026, 6, 2, 4, 30, tzinfo=UTC)
    assert next_after("cron:0 13 * * * UTC", NOON) == datetime(2026, 6, 1, 13, tzinfo=UTC)


def test_the_doubled_hour_fires_once_and_the_skipped_one_is_not_lost() -> None:
    daily = "cron:30 2 * * * Europe/Berlin"
    first = next_after(daily, datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert next_after(daily, first) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    assert next_after(daily, datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "sometimes", "Hourly", "cron:", "cron:* * * * *", "cron:* * * * * * UTC", "cron:@daily UTC",
        "cron:60 * * * * UTC",
        "cron:0 0 30 2 * UTC", "cron:0 6 * * * Moon/Base", "cron:0 6 * * * America", "cron:0 6 * * * ../etc/passwd",
        "cron:0 6 * * * " + "x" * 300,
    ],
)  # fmt: skip
def test_what_names_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".{20}"):
        parse_frequency(text)


def test_periods() -> None:
    assert [parse_period(text) for text in ("24h", "7d", "2w")] == [timedelta(days=1), timedelta(7), timedelta(14)]
    for text in ("", "7", "0d", "-1d", "1m", "366d", "99999h", "1.5d", "P7D"):
        with pytest.raises(ValueError, match="such as 24h"):
            parse_period(text)
