"""One raw value, one rule, one cell: each sentence of the mapping contract as a row of a table."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.transformer.coerce import Notation, coercer
from services.transformer.engine import Mapped
from services.transformer.times import canonical_utc_text, parse_datetime, utc_text
from shared.contracts.records import FIELDS

D = Decimal
CellOf = Callable[..., str | None]
INV, VEN, PO = "inventory", "vendors", "purchase_orders"
REQUIRED = {"path": "raw", "required": True}


@pytest.mark.parametrize(
    ("entity", "field", "rule", "raw", "expected"),
    [
        # text: as it came; numbers in their plain exact text
        (INV, "description", "raw", " as it is ", " as it is "),
        (INV, "description", "raw", "", ""),
        (INV, "description", "raw", None, None),
        (INV, "description", "raw", 0, "0"),
        (INV, "description", "raw", D("12.50"), "12.50"),
        (INV, "description", "raw", D("1E+5"), "100000"),
        (INV, "description", "raw", False, "false"),
        (INV, "description", "raw.deep", {"deep": 5}, "5"),
        (INV, "description", "missing", 1, None),
        (INV, "description", "to_string(missing)", 1, None),
        # numbers: a 0 is a value, an empty text is none
        (INV, "unit_cost", "raw", 0, "0"),
        (INV, "unit_cost", "raw", D("0.00"), "0.00"),
        (INV, "unit_cost", "raw", D("-0"), "0"),
        (INV, "unit_cost", "raw", D("0E+99"), "0"),
        (INV, "unit_cost", "raw", D("12.50"), "12.50"),
        (INV, "unit_cost", "raw", D("1E+5"), "100000"),
        (INV, "unit_cost", "raw", 10**30, "1" + "0" * 30),
        (INV, "unit_cost", "raw", -3, "-3"),
        (INV, "unit_cost", "raw", " 12.50 ", "12.50"),
        (INV, "unit_cost", "raw", "-.5", "-0.5"),
        (INV, "unit_cost", "raw", "+7.", "7"),
        (INV, "unit_cost", "raw", "1.5e3", "1500"),
        (INV, "unit_cost", "raw", "", None),
        (INV, "unit_cost", "raw", "  ", None),
        (INV, "unit_cost", "raw", None, None),
        # whole numbers
        (VEN, "lead_time_days", "raw", 0, "0"),
        (VEN, "lead_time_days", "raw", D("5.00"), "5"),
        (VEN, "lead_time_days", "raw", "14", "14"),
        (VEN, "lead_time_days", "raw", "", None),
        # dates
        (PO, "order_date", "raw", "2026-11-22", "2026-11-22"),
        (PO, "order_date", "raw", "2026-11-22T23:30:00-05:00", "2026-11-22"),
        (PO, "order_date", "raw", "2026-11-22 10:00:00", "2026-11-22"),
        (PO, "order_date", {"path": "raw", "format": "%m/%d/%Y"}, "11/22/2026", "2026-11-22"),
        (PO, "order_date", {"path": "raw", "type": "datetime"}, "2026-11-22T23:30:00-05:00", "2026-11-22"),
        (PO, "order_date", "raw", "", None),
        # times, in UTC
        (INV, "source_updated_at", "raw", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00"),
        (INV, "source_updated_at", "raw", "2026-11-22t10:00:00.5z", "2026-11-22T10:00:00.500000+00:00"),
        (INV, "source_updated_at", "raw", "2026-11-22T10:00:00-0500", "2026-11-22T15:00:00+00:00"),
        (INV, "source_updated_at", "raw", "2026-11-22T10:00:00.123456789+02", "2026-11-22T08:00:00.123456+00:00"),
        (INV, "source_updated_at", "raw", "2026-11-22", "2026-11-22T00:00:00+00:00"),
        (INV, "source_updated_at", {"path": "raw", "format": "%d.%m.%Y %H:%M"}, "22.11.2026 10:00",
         "2026-11-22T10:00:00+00:00"),
        # forms by tokens, and counts since 1970
        (PO, "order_date", {"path": "raw", "format": "MM/DD/YYYY"}, "11/22/2026", "2026-11-22"),
        (PO, "order_date", {"path": "raw", "format": "unix"}, 1795341600, "2026-11-22"),
        (PO, "order_date", {"path": "raw", "format": "unix"}, "", None),
        (INV, "source_updated_at", {"path": "raw", "format": "DD.MM.YYYY HH:MM:SS"}, "22.11.2026 10:05:06",
         "2026-11-22T10:05:06+00:00"),
        (INV, "source_updated_at", {"path": "raw", "format": "unix"}, D("1795341600.25"),
         "2026-11-22T10:00:00.250000+00:00"),
        (INV, "source_updated_at", {"path": "raw", "format": "unix_ms"}, "1795341600001",
         "2026-11-22T10:00:00.001000+00:00"),
        (INV, "description", {"path": "raw", "type": "date", "format": "unix_ms"}, -1, "1969-12-31"),
        # a rule's type comes before the field's own
        (INV, "description", {"path": "raw", "type": "number"}, "12.50", "12.50"),
        (INV, "description", {"path": "raw", "type": "integer"}, "7.0", "7"),
        (INV, "description", {"path": "raw", "type": "boolean"}, "Yes", "true"),
        (INV, "description", {"path": "raw", "type": "boolean"}, 0, "false"),
        (INV, "description", {"path": "raw", "type": "date", "format": "%d/%m/%y"}, "22/11/26", "2026-11-22"),
        (INV, "description", {"path": "raw", "type": "number"}, "", None),
        (INV, "unit_cost", {"path": "raw", "type": "string"}, D("0.10"), "0.10"),
        # default: for null and missing, for empty where that is null; never for 0, false or a text field's empty text
        (INV, "unit_cost", {"path": "raw", "default": 9}, None, "9"),
        (INV, "unit_cost", {"path": "raw", "default": "9.10"}, "", "9.10"),
        (INV, "unit_cost", {"path": "raw", "default": D("9.10")}, None, "9.10"),
        (INV, "unit_cost", {"path": "raw", "default": 9}, 0, "0"),
        (INV, "unit_cost", {"path": "raw", "default": 9}, "0", "0"),
        (INV, "description", {"path": "raw", "default": "none"}, "", ""),
        (INV, "description", {"path": "raw", "default": "none"}, False, "false"),
        (INV, "description", {"path": "raw", "default": "none"}, 0, "0"),
        (INV, "description", {"path": "missing", "default": "none"}, 0, "none"),
        (PO, "order_date", {"path": "raw", "default": "2026-01-02", "format": "%m/%d/%Y"}, None, "2026-01-02"),
        (PO, "order_date", {"path": "raw", "default": "01/02/2026", "format": "%m/%d/%Y"}, None, "2026-01-02"),
        # constant
        (INV, "currency", {"constant": "EUR"}, None, "EUR"),
        (INV, "unit_cost", {"constant": 0}, None, "0"),
        (INV, "unit_cost", {"constant": 0.1}, None, "0.1"),
        (INV, "unit_cost", {"constant": None}, 5, None),
        # map: by the text form; what is no key passes unchanged
        (INV, "status", {"path": "raw", "map": {"true": "active", "false": "inactive"}}, False, "inactive"),
        (INV, "status", {"path": "raw", "map": {"1": "active"}}, 1, "active"),
        (INV, "status", {"path": "raw", "map": {"1.0": "active"}}, D("1.0"), "active"),
        (INV, "status", {"path": "raw", "map": {"": "inactive"}}, "", "inactive"),
        # map of what the type has made, where the raw value is no key
        (INV, "status", {"path": "raw", "type": "boolean", "map": {"true": "active"}}, "Yes", "active"),
        (INV, "unit_cost", {"path": "raw", "type": "number", "map": {"-1": None, "few": 3}}, "-1", None),
        (INV, "unit_cost", {"path": "raw", "type": "number", "map": {"-1": 0, "few": 3}}, "few", "3"),
        (INV, "status", {"path": "raw", "map": {"X": "inactive"}}, "active", "active"),
        (INV, "status", {"path": "raw", "map": {"X": None}, "default": "active"}, "X", "active"),
        (INV, "unit_cost", {"path": "raw", "map": {"free": 0}}, "free", "0"),
        (INV, "description", {"path": "raw", "map": {"a": "b"}}, {"a": 1}, "description: expected text, got an object"),
        # words
        (INV, "status", "raw", "active", "active"),
        (INV, "status", "raw", "", None),
        (INV, "status", "raw", "Active", "status: expected one of active, inactive, got 'Active'"),
        (VEN, "status", "raw", "Anything", "Anything"),
        # required
        (INV, "unit_cost", REQUIRED, 0, "0"),
        (INV, "unit_cost", REQUIRED, None, "unit_cost: is required, but has no value"),
        (INV, "unit_cost", REQUIRED, "", "unit_cost: is required, but has no value"),
        (INV, "description", REQUIRED, "", ""),
        (INV, "unit_cost", {**REQUIRED, "default": 1}, None, "1"),
    ],
)  # fmt: skip
def test_a_value(cell: CellOf, entity: str, field: str, rule: Any, raw: Any, expected: str | None) -> None:
    assert cell(entity, field, rule, raw) == expected


@pytest.mark.parametrize(
    ("entity", "field", "raw", "said"),
    [
        (INV, "description", {"a": 1}, "expected text, got an object"),
        (INV, "description", [1], "expected text, got a list"),
        (INV, "description", "a\0b", "NUL"),
        (INV, "description", "a\ud800", "surrogates"),
        (INV, "description", "x" * 100_001, "at most 100000 characters"),
        (INV, "unit_cost", "12abc", "expected a number, got '12abc'"),
        (INV, "unit_cost", "1,234.5", "expected a number"),
        (INV, "unit_cost", "NaN", "expected a number"),
        (INV, "unit_cost", "Infinity", "expected a number"),
        (INV, "unit_cost", "--", "expected a number"),
        (INV, "unit_cost", "1_000", "expected a number"),
        (INV, "unit_cost", "\u0661\u0662", "expected a number"),
        (INV, "unit_cost", "9" * 300, "expected a number"),
        (INV, "unit_cost", True, "expected a number, got true"),
        (INV, "unit_cost", [], "expected a number, got a list"),
        (INV, "unit_cost", D("1E+60"), "digits"),
        (INV, "unit_cost", D("1E+999999999"), "digits"),
        (INV, "unit_cost", D("1E-61"), "digits"),
        (INV, "unit_cost", D("0." + "1" * 61), "digits"),
        (INV, "unit_cost", 10**60, "digits"),
        (INV, "unit_cost", 10**4000, "digits"),
        (INV, "unit_cost", D("NaN"), "expected a number"),
        (VEN, "lead_time_days", D("5.5"), "expected a whole number, got 5.5"),
        (VEN, "lead_time_days", 2**31, "whole number up to"),
        (VEN, "lead_time_days", D("1E+999999999"), "whole number"),
        (PO, "order_date", "22.11.2026", "expected a date (YYYY-MM-DD), got '22.11.2026'"),
        (PO, "order_date", "2026-02-30", "expected a date"),
        (PO, "order_date", "20261122", "expected a date"),
        (PO, "order_date", "2026-11-22T99:00", "expected a date"),
        (PO, "order_date", 20261122, "expected a date"),
        (INV, "source_updated_at", "yesterday", "expected a time (RFC 3339)"),
        (INV, "source_updated_at", 1_700_000_000, "expected a time"),
        (INV, "source_updated_at", "0001-01-01T00:00:00+05:00", "between the years"),
    ],
)  # fmt: skip
def test_a_value_that_is_refused(cell: CellOf, entity: str, field: str, raw: Any, said: str) -> None:
    answer = cell(entity, field, "raw", raw)
    assert answer is not None
    assert answer.startswith(f"{field}: ")
    assert said in answer
    assert len(answer) < 200


@pytest.mark.parametrize("raw", ["soon", True, [], 10**40, D("1E+999999"), D("-1E+15"), D("NaN")], ids=str)
def test_what_counts_no_time_since_1970_is_refused(cell: CellOf, raw: Any) -> None:
    for field, entity in (("order_date", PO), ("source_updated_at", INV)):
        answer = cell(entity, field, {"path": "raw", "format": "unix"}, raw)
        assert answer is not None
        assert "expected a" in answer


@pytest.mark.parametrize(
    ("decimal", "thousands", "raw", "expected"),
    [
        (".", ",", "1,234.50", "1234.50"),
        (".", ",", "1234.50", "1234.50"),
        (".", ",", "1,23.5", None),
        (".", ",", "1,234,567", "1234567"),
        (",", ".", "1.234,50", "1234.50"),
        (",", ".", "1.5", None),
        (",", "", "12,5", "12.5"),
        (",", "", "12.5", None),
        (",", " ", "1\u00a0234,5", "1234.5"),
        (".", "'", "1'234.5", "1234.5"),
        (",", ".", D("1.50"), "1.50"),
    ],
)
def test_notation(cell: CellOf, decimal: str, thousands: str, raw: Any, expected: str | None) -> None:
    answer = cell(INV, "unit_cost", "raw", raw, decimal=decimal, thousands=thousands)
    if expected is None:
        assert answer is not None
        assert answer.startswith("unit_cost: expected a number")
    else:
        assert answer == expected


def test_expressions_read_numbers_as_the_source_writes_them(apply: Callable[..., Mapped]) -> None:
    """1.234 is no fraction where the point parts thousands."""
    records = [{"id": number, "code": "c", "q": text} for number, text in enumerate(["1.234", "1.234,5", "-2", "1.5"])]
    fields = {"sku": "code", "quantity_on_hand": "to_number(q)"}
    place = [spec.name for spec in FIELDS["inventory"]].index("quantity_on_hand")

    german = apply(records, fields, decimal=",", thousands=".", filter="q == '1.5' || to_number(q) > `0`")

    assert [row.cells[place] for row in german.rows] == ["1234", "1234.5", None]
    assert german.filtered == 1
    plain = apply(records, fields)
    assert [row.cells[place] for row in plain.rows] == ["1.234", None, "-2", "1.5"]


def test_a_mapping_is_written_in_json_whatever_the_source_uses(cell: CellOf) -> None:
    assert cell(INV, "unit_cost", {"path": "raw", "default": "1.5"}, None, decimal=",") == "1.5"
    assert cell(INV, "unit_cost", {"path": "raw", "default": "1,5"}, None, decimal=",") == "1.5"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("2026-07-01T10:00:00", "2026-07-01T08:00:00+00:00"), ("2026-01-01", "2025-12-31T23:00:00+00:00"),
     ("2026-07-01T10:00:00Z", "2026-07-01T10:00:00+00:00")],
)  # fmt: skip
def test_times_without_a_zone_are_in_the_mappings(cell: CellOf, raw: str, expected: str) -> None:
    assert cell(INV, "source_updated_at", "raw", raw, time_zone="Europe/Berlin") == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**59), max_value=10**59))
def test_decimals_reach_the_cell_with_every_digit(number: Decimal) -> None:
    numeric = coercer("numeric", Notation())
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -60:
        text = numeric(number)
        assert text is not None
        assert Decimal(text) == number
        assert "E" not in text
        assert numeric(str(number)) == text


@given(raw=st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(allow_nan=False, places=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_of_a_text_field_is_never_replaced_by_its_default(cell: CellOf, raw: Any) -> None:
    answer = cell(INV, "description", {"path": "raw", "default": "the default"}, raw)
    assert (answer == "the default") == (raw is None)


@given(parts=st.tuples(*(st.integers(0, 99) for _ in range(6))), zulu=st.sampled_from(["Z", "z", "+00:00", ""]))
@settings(max_examples=300, deadline=None)
def test_the_short_way_of_the_commonest_time_says_what_the_long_way_says(parts: tuple[int, ...], zulu: str) -> None:
    century, month, day, hour, minute, second = parts
    text = f"20{century:02d}-{month % 14:02d}-{day % 33:02d}T{hour % 26:02d}:{minute % 62:02d}:{second % 62:02d}{zulu}"
    try:
        long_way = utc_text(parse_datetime(text, UTC))
    except ValueError:
        long_way = "no time"
    try:
        short_way = canonical_utc_text(text) if zulu == "Z" and hour % 26 < 24 else long_way
    except ValueError:
        short_way = "no time"
    assert short_way == long_way
    if zulu != "Z" or hour % 26 >= 24:
        assert canonical_utc_text(text) is None


def test_the_z_of_a_form_is_utc_whatever_the_zone_of_the_source() -> None:
    zone = ZoneInfo("America/New_York")
    read = partial(parse_datetime, zone=zone)
    assert read("2026-01-02T03:04:05Z", form="YYYY-MM-DDTHH:MM:SSZ") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read("2026-01-02T03:04:05", form="YYYY-MM-DDTHH:MM:SS") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)
    with pytest.raises(ValueError, match="match"):
        read("2026-01-02T03:04:05", form="YYYY-MM-DDTHH:MM:SSZ")
