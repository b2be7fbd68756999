"""Whole records: keys, filters, what is kept, what is refused, and that one bad record is alone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.transformer.engine import Mapped, compile_mapping
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import decode_json
from shared.contracts.records import FIELDS
from shared.errors import MappingError

D = Decimal
Apply = Callable[..., Mapped]
SKU = {"sku": "code"}


@pytest.mark.parametrize(
    ("raw", "key"),
    [(5, "5"), (D("5.0"), "5.0"), ("A-1", "A-1"), (" a ", " a "), (0, "0"), ("/x/product/1", "/x/product/1")],
)
def test_the_external_id_is_the_text_of_the_key(apply: Apply, raw: Any, key: str) -> None:
    assert apply([{"id": raw, "code": "x"}], SKU).rows[0].external_id == key


@pytest.mark.parametrize("raw", [None, "", "  ", True, [], {}, ["a"], "a\0b", "\udc00", "x" * 1001, "ü" * 501])
def test_a_record_without_a_key_is_rejected(apply: Apply, raw: Any) -> None:
    (reject,) = apply([{"id": raw, "code": "x"}], SKU).rejects
    assert (reject.external_id, reject.field) == (None, "external_id")
    assert json.loads(reject.raw)["code"] == "x"


@pytest.mark.parametrize("record", [None, 1, "x", [], [{"id": 1}]])
def test_what_is_no_object_is_rejected(apply: Apply, record: Any) -> None:
    assert apply([record], SKU).rejects[0].external_id is None


@pytest.mark.parametrize(
    ("keep", "rows"), [(True, 1), (False, 0), (None, 0), ("", 0), ([], 0), ({}, 0), (0, 1), ("false", 1), ([0], 1)]
)
def test_the_filter_counts_what_it_drops(apply: Apply, keep: Any, rows: int) -> None:
    mapped = apply([{"id": 1, "code": "x", "keep": keep}], SKU, filter="keep")
    assert (len(mapped.rows), mapped.filtered, mapped.rejects) == (rows, 1 - rows, [])


def test_a_filter_that_fails_rejects_and_a_filtered_record_needs_no_key(apply: Apply) -> None:
    mapped = apply([{"id": 1, "n": "x"}, {"n": []}, {"id": 2, "code": "a", "n": [1]}], SKU, filter="sum(n) > `0`")
    assert [(reject.external_id, reject.field) for reject in mapped.rejects] == [("1", "filter")]
    assert mapped.filtered == 1
    assert [row.external_id for row in mapped.rows] == ["2"]


def test_one_bad_record_never_touches_another(apply: Apply) -> None:
    records = [{"id": n, "code": f"c{n}", "qty": "bad" if n % 3 == 0 else n} for n in range(30)]
    mapped = apply(records, {**SKU, "quantity_on_hand": "qty"})
    assert [row.external_id for row in mapped.rows] == [str(n) for n in range(30) if n % 3]
    assert [reject.external_id for reject in mapped.rejects] == [str(n) for n in range(0, 30, 3)]
    assert {reject.field for reject in mapped.rejects} == {"quantity_on_hand"}


def test_of_several_bad_fields_the_first_is_named_and_all_are_counted(apply: Apply) -> None:
    fields = {**SKU, "unit_price": "p", "quantity_on_hand": "q", "status": "s", "name": "n"}
    (reject,) = apply([{"id": 1, "code": "x", "q": "?", "p": "?", "s": "?", "n": 1}], fields).rejects
    assert reject.field == "quantity_on_hand"
    assert reject.reason == "expected a number, got '?' (3 fields are wrong)"


@pytest.mark.parametrize(
    ("entity", "record", "field"),
    [("inventory", {}, "sku"), ("inventory", {"sku": "", "name": None}, "sku"), ("vendors", {}, "name"),
     ("purchase_orders", {"notes": "x"}, "order_number")],
)  # fmt: skip
def test_what_every_row_needs(apply: Apply, entity: Any, record: dict[str, Any], field: str) -> None:
    (reject,) = apply([{"id": 1, **record}], entity=entity).rejects
    assert (reject.external_id, reject.field) == ("1", field)
    assert apply([{"id": 1, "name": "n", "order_number": "o"}], entity=entity).rejects == []


def test_an_expression_that_does_not_fit_names_the_field_and_shows_no_data(apply: Apply) -> None:
    (reject,) = apply([{"id": 1, "code": "x", "n": ["secret"]}], {**SKU, "unit_cost": "sum(n)"}).rejects
    assert (reject.field, reject.reason) == ("unit_cost", "sum() expects an array of numbers, got string")


def test_without_a_mapping_fields_of_the_same_name_apply(apply: Apply) -> None:
    record = {"id": 7, "sku": "S", "name": "N", "unit_cost": "0", "color": "red", "source_updated_at": "2026-01-01"}
    (row,) = apply([record]).rows
    cells = dict(zip([spec.name for spec in FIELDS["inventory"]], row.cells, strict=True))
    assert {name: value for name, value in cells.items() if value is not None} == {
        "sku": "S", "name": "N", "unit_cost": "0", "source_updated_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert row.extra == '{"color":"red"}'


def extra_of(apply: Apply, record: dict[str, Any], fields: Any, **mapping: Any) -> Any:
    (row,) = apply([{"id": 1, "code": "x", **record}], {**SKU, **fields}, **mapping).rows
    return decode_json(row.extra)


def test_extra_keeps_what_no_rule_maps_exactly_and_in_order(apply: Apply) -> None:
    record = {"z": D("1.50"), "a": {"b": [None, True]}, "s": {"id": 5}, "l": [{"q": 1}], "u": "2026-01-01", "f": 1}
    fields = {"preferred_vendor_id": "s.id", "quantity_on_hand": "sum(l[].q)"}
    extra = extra_of(apply, record, fields, updated_at_path="u", filter="f")
    assert extra == {"z": D("1.50"), "a": {"b": [None, True]}, "f": 1}
    assert list(extra) == ["z", "a", "f"]


def test_extra_knows_which_meaning_of_a_path_was_used(apply: Apply) -> None:
    assert extra_of(apply, {"a.b": "n", "a": {"c": 1}}, {"name": "a.b"}) == {"a": {"c": 1}}
    assert extra_of(apply, {"a": {"b": "n"}, "c": 1}, {"name": "a.b"}) == {"c": 1}


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"n": "a\0b"}, {"n": "a\ufffdb"}),
        ({"\0k": 1}, {"\ufffdk": 1}),
        ({"n": "\ud800"}, {"n": "\ufffd"}),
        ({"d": [{"x": "\0"}]}, {"d": [{"x": "\ufffd"}]}),
        ({"n": D("1E+999999"), "m": D("1E-20000")}, {"n": "1E+999999", "m": "1E-20000"}),
        ({"n": D("0." + "1" * 20_000)}, {"n": "0." + "1" * 20_000}),
        ({"n": 10**400, "m": D("1E+99")}, {"n": 10**400, "m": D("1E+99")}),
        ({"n": 10**5000}, {"n": "1" + "0" * 5000}),
        ({"n": "\\u0000"}, {"n": "\\u0000"}),
    ],
    ids=range(9),
)
def test_extra_holds_only_what_jsonb_takes(apply: Apply, raw: Any, kept: Any) -> None:
    assert extra_of(apply, raw, {}) == kept


def test_extra_is_bounded_and_leaves_out_the_largest_first(apply: Apply) -> None:
    record = {"huge": "ü" * 40_000, "a": 1, "large": "x" * 50_000, "b": 2}
    extra = extra_of(apply, record, {})
    assert list(extra) == ["a", "large", "b", "_truncated"]
    assert len(json.dumps(extra).encode()) <= 64_000


def test_the_newest_change_time_is_over_all_records(apply: Apply) -> None:
    records = [
        {"id": 1, "code": "a", "u": "2026-01-01T00:00:00Z"},
        {"id": 2, "code": "b", "u": "not a time"},
        {"id": 3, "code": "c", "u": "2026-01-03T00:00:00+01:00", "drop": True},
        {"id": None, "u": "2026-01-04T00:00:00"},
        {"id": 5, "code": "e", "u": ""},
    ]
    mapped = apply(records, SKU, updated_at_path="u", filter="!drop", time_zone="Asia/Tokyo")
    assert mapped.max_updated_at == datetime(2026, 1, 3, 15, tzinfo=UTC)
    assert [row.cells[-1] for row in mapped.rows] == ["2026-01-01T00:00:00+00:00", None, None]
    assert apply(records, SKU).max_updated_at is None
    assert apply([], SKU, updated_at_path="u").max_updated_at is None


def test_a_rule_for_the_change_time_wins_and_lends_its_format(apply: Apply) -> None:
    fields = {**SKU, "source_updated_at": {"path": "v", "format": "%d.%m.%Y"}}
    mapped = apply([{"id": 1, "code": "a", "u": "02.01.2026", "v": "01.01.2026"}], fields, updated_at_path="u")
    assert mapped.rows[0].cells[-1] == "2026-01-01T00:00:00+00:00"
    assert mapped.max_updated_at == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"fields": {"sku": "sum(a"}}, "field sku: expression 'sum(a', column 6"),
        ({"fields": {"sku": "nope(a)"}}, "field sku: expression 'nope(a)', column 1: unknown function"),
        ({"fields": {"sku": {"path": ""}}}, "field sku: a path is empty"),
        ({"fields": {"colour": "a"}}, "inventory has no field 'colour'"),
        ({"fields": {"lines": "a"}}, "inventory has no field 'lines'"),
        ({"fields": {"unit_cost": {"path": "a", "default": "x"}}}, "field unit_cost: default: expected a number"),
        ({"fields": {"unit_cost": {"constant": {}}}}, "field unit_cost: constant: expected a number, got an object"),
        ({"fields": {"sku": {"constant": None, "required": True}}}, "field sku: is required"),
        ({"fields": {"status": {"path": "a", "map": {"X": "gone"}}}}, "field status: map: expected one of active"),
        ({"fields": {"source_updated_at": {"path": "a", "format": "%Q"}}}, "field source_updated_at: '%Q'"),
        ({"fields": {"source_updated_at": {"path": "a", "format": "%d %d"}}}, "field source_updated_at: '%d %d'"),
        ({"fields": {"source_updated_at": {"path": "a", "format": "1,234.5"}}}, "'1,234.5' is no date format"),
        ({"fields": {"source_updated_at": {"path": "a", "format": "week"}}}, "'week' is no date format"),
        ({"id_path": "a["}, "id_path: expression"),
        ({"updated_at_path": "max(a"}, "updated_at_path: expression"),
        ({"filter": "qty 0"}, "filter: expression"),
        ({"time_zone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone"),
        ({"time_zone": "../etc"}, "is no time zone"),
        ({"time_zone": ""}, "is no time zone"),
        ({"decimal": ",", "thousands": ","}, "separator"),
    ],
)
def test_a_bad_mapping_is_refused_with_the_place(apply: Apply, mapping: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError) as caught:
        apply([{"id": 1}], mapping.pop("fields", SKU), **mapping)
    assert caught.value.category == "MAPPING_ERROR"
    assert said in caught.value.message


def test_a_name_may_look_like_an_expression_if_a_record_has_it(apply: Apply) -> None:
    fields = {**SKU, "unit_price": "Price (USD)"}
    mapped = apply([{"id": 1, "code": "a"}, {"id": 2, "code": "b", "Price (USD)": "1.50"}], fields)
    assert [row.cells[11] for row in mapped.rows] == [None, "1.50"]
    assert [row.extra for row in mapped.rows] == ["{}", "{}"]
    with pytest.raises(MappingError, match=r"unknown function Price\(\)"):
        apply([{"id": 1, "code": "a"}], fields)
    assert apply([], fields).rows == []


def test_the_records_text_is_kept_for_the_quarantine(apply: Apply) -> None:
    (reject,) = apply([{"id": None, "p": D("12.50"), "t": "a\0\ud800", "n": 10**30}], SKU).rejects
    assert reject.raw == '{"id":null,"p":12.50,"t":"a\\u0000\\ud800","n":1000000000000000000000000000000}'
    (reject,) = apply([{"id": None, "n": 10**5000}], SKU).rejects
    assert reject.raw == '{"id":null,"n":1' + "0" * 5000 + "}"
    (reject,) = apply([{"id": None, "t": "x" * 2_000_000}], SKU).rejects
    assert len(reject.raw) == 1_000_000


def test_deep_records_are_no_trouble(apply: Apply) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    mapped = apply([{"id": 1, "code": "x", "deep": deep}, {"id": None, "deep": deep}], SKU)
    assert mapped.rows[0].extra == '{"_truncated":true}'
    assert len(mapped.rejects) == 1


keys = st.sampled_from(["id", "sku", "name", "unit_cost", "status", "source_updated_at", "order_number", "order_date",
                        "lines", "quantity", "line_number", "a.b", "a"]) | st.text(max_size=3)  # fmt: skip
text = st.text(st.characters(), max_size=6) | st.sampled_from(["2026-11-22", "1.5", "active", "", "\0", "\ud800"])
numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.just(D("1E+999999"))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
FIELD_SETS: list[Any] = [
    None,
    {"name": "a.b", "sku": "to_string(sku)", "order_number": "not_null(a, name)"},
    {"lines": "lines[].{quantity: quantity, line_number: line_number}", "name": {"path": "name", "default": "n"}},
]


@given(
    records=st.lists(json_values | st.dictionaries(keys, json_values, max_size=6), max_size=4),
    entity=st.sampled_from(list(FIELDS)),
    fields=st.sampled_from(FIELD_SETS),
    keep=st.sampled_from([None, "id", "sum(lines[].quantity) >= `0`"]),
)
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_becomes_a_row_a_reject_or_is_filtered(
    records: list[Any], entity: Any, fields: Any, keep: Any
) -> None:
    if fields is not None:
        known = {spec.name for spec in FIELDS[entity]} | ({"lines"} if entity == "purchase_orders" else set())
        fields = {name: rule for name, rule in fields.items() if name in known}
    mapping = EntityMapping(id_path="id", filter=keep, updated_at_path="source_updated_at", fields=fields)
    mapped = compile_mapping(entity, mapping).apply(records)
    assert len(mapped.rows) + len(mapped.rejects) + mapped.filtered == len(records)
    for row in mapped.rows:
        assert len(row.cells) == len(FIELDS[entity])
        assert isinstance(decode_json(row.extra), dict)
        for cell in (row.external_id, row.extra, *row.cells, *(cell for line in row.lines or [] for cell in line)):
            if cell is not None:
                assert b"\0" not in cell.encode()
    for reject in mapped.rejects:
        assert reject.reason.isprintable()
        reject.model_dump_json()
