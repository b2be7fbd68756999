"""By columns as one by one: the same rows, rejects and counts, whatever the records and the mapping; and no detour."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.transformer.coerce import Notation
from services.transformer.columns import Columns
from services.transformer.engine import Mapped, Mapper, compile_mapping
from services.transformer.rules import plain_rule
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping
from shared.contracts.records import FIELDS, Cell, FieldSpec, FieldType
from shared.errors import MappingError
from shared.expressions.paths import name_path

D = Decimal
NAMES = ("id", "a", "b", "c", "d.e", "length(a)", "lines", "sku", "name", "status", "unit_cost", "lead_time_days",
         "order_number", "order_date", "source_updated_at", "quantity", "line_number", "total")  # fmt: skip
PATHS = (*NAMES, "b.c", "not_null(a, b)", "length(c)", "sum(lines[].quantity)", "to_string(a)", "lines[0].sku", "gone")
FILTERS = (None, None, "a", "!a", "length(b) > `1`", "status != 'inactive'", "sum(lines[].quantity) > `0`")


def _texts(*words: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(words)


whole = st.integers(-(2**70), 2**70) | st.sampled_from([0, 2**31 - 1, 2**31, -(2**31), 10**60, 10**61, 10**5000])
exact = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.sampled_from(
    [D("0"), D("0.00"), D("-0.0"), D("0E-7"), D("0E+3"), D("1E+2"), D("1E-8"), D("1E+999999"), D("1E-20000"),
     D("-0.5"), D("12345678901234567890.123"), D("0." + "1" * 61)]
)  # fmt: skip
numeric_text = st.integers(-9_999, 9_999).map(str) | st.decimals(-99, 99, places=3).map(str) | _texts(
    "", " ", "-0", "-0.00", "-0.5", "007", "+5", "5.", ".5", "1e3", "1,5", "1.234,50", "1 234", "0,00", "-0,0", "1\n2",
    "0." + "0" * 60, "0." + "0" * 61, "9" * 60, "9" * 61, "9" * 300, "٣",
)  # fmt: skip
time_text = st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}".rjust(20, "0")) | _texts(
    "2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:00:00+02:00", "2026-11-22 10:00", "2026-11-22", "",
    "0001-01-01T00:00:00+14:00", "2026-11-22T10:00:00-08:00", "2026-11-22T10:00:00", "9999-12-31T23:59:59.999999-01:00",
    "2026-11-22T10:00:00.123456789Z", "2026-11-22T10:00:00.5Z", "22.11.2026", "2026-11-22T10:00:00Z\n", "?", " ",
)  # fmt: skip
date_text = st.dates().map(str) | _texts("", " ", "2026-02-29", "2024-02-29", "22.11.2026", "2026-11-22T10:00:00Z", "x")
word = _texts("active", "inactive", "draft", "EUR", "A", "x", "", " ", "2026-11-22", "7")
free = st.text(st.characters(), max_size=5) | _texts("\0", "\ud800", "a\nb", "ü", "E-99999", "\\u0000", "x" * 1_001)
huge = st.sampled_from(["x" * 100_001, "ü" * 40_000, "x" * 9_990])
scalars = st.none() | st.booleans() | whole | exact | numeric_text | time_text | date_text | word | free
nested = st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(NAMES), scalars, max_size=3)
anything = scalars | nested | huge
line = st.fixed_dictionaries(
    {},
    optional={"sku": free | word, "quantity": whole | exact | numeric_text, "line_number": st.integers(-1, 3) | word},
)
lines = st.lists(line, max_size=3) | st.lists(line | anything, max_size=3) | st.none() | _texts("", "x")
KINDS = (whole, exact, whole | exact | st.none(), numeric_text, time_text, time_text | st.none(), date_text, word, free,
         lines, nested, anything, st.none(), st.sampled_from(["k1", "k2", "k3", "k4"]))  # fmt: skip


@st.composite
def batches(draw: st.DrawFn) -> list[Any]:
    """Records with mostly one kind of value under one name, as vendors have them, and now and then something else."""
    size = draw(st.integers(0, 7))
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
    records: list[Any] = [{"id": f"k{place}", "sku": "s", "order_number": "o", "name": "n"} for place in range(size)]
    for name in names:
        values = draw(st.lists(draw(st.sampled_from(KINDS)), min_size=size, max_size=size))
        for record, value in zip(records, values, strict=True):
            record[name] = value
    for _ in range(draw(st.integers(0, 2)) if size else 0):
        place, name = draw(st.integers(0, size - 1)), draw(st.sampled_from(NAMES))
        if isinstance(records[place], dict):
            odd = draw(st.sampled_from(["drop", "change", "change", "replace"]))
            if odd == "drop":
                records[place].pop(name, None)
            elif odd == "change":
                records[place][name] = draw(anything)
            else:
                records[place] = draw(anything)
    return records


@st.composite
def rules(draw: st.DrawFn, spec: FieldSpec) -> Any:
    path = draw(st.sampled_from(PATHS))
    values = [*spec.values, None, "A", "7", 5, "2026-11-22", "1,5", "\0"]
    kind = draw(st.sampled_from(["path", "path", "path", "constant", "full"]))
    if kind == "path":
        return path
    if kind == "constant":
        return {"constant": draw(st.sampled_from(values))}
    optional = {
        "default": st.sampled_from(values),
        "required": st.booleans(),
        "type": st.sampled_from(["string", "number", "integer", "boolean", "date", "datetime"]),
        "format": st.sampled_from(["%d.%m.%Y", "YYYY-MM-DD", "unix"]),
        "map": st.dictionaries(st.sampled_from(["A", "x", "7", "true", ""]), st.sampled_from(values), max_size=2),
    }
    return {"path": path, **draw(st.fixed_dictionaries({}, optional=optional))}


@st.composite
def mappings(draw: st.DrawFn, entity: Entity) -> dict[str, Any]:
    fields: Any = None
    if draw(st.booleans()):
        specs = draw(st.lists(st.sampled_from(FIELDS[entity]), unique=True, max_size=5))
        fields = {spec.name: draw(rules(spec)) for spec in specs}
        if draw(st.booleans()):
            fields[{"inventory": "sku", "vendors": "name", "purchase_orders": "order_number"}[entity]] = "id"
        if entity == "purchase_orders" and draw(st.booleans()):
            fields["lines"] = {"path": draw(st.sampled_from(["lines", "lines[?quantity]", "c"]))}
            fields["lines"] |= draw(st.sampled_from([{}, {"required": True}, {"default": [{"sku": "d"}]}]))
    decimal, thousands = draw(st.sampled_from([(".", ""), (".", ""), (",", ""), (",", "."), (".", ","), (",", " ")]))
    return {
        "id_path": draw(st.sampled_from(["id", "id", "id", *PATHS])),
        "filter": draw(st.sampled_from(FILTERS)),
        "updated_at_path": draw(st.sampled_from([None, "source_updated_at", "a", "b", "length(c)"])),
        "decimal": decimal,
        "thousands": thousands,
        "time_zone": draw(st.sampled_from(["UTC", "Asia/Tokyo"])),
        "fields": fields,
    }


def prove(entity: Entity, examples: int) -> None:
    @given(records=batches(), mapping=mappings(entity))
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.reuse, Phase.generate, Phase.shrink],
    )  # fmt: skip
    def same(records: list[Any], mapping: dict[str, Any]) -> None:
        try:
            mapper = compile_mapping(entity, EntityMapping.model_validate(mapping))
            mapper.verify(records)
        except MappingError:
            return
        assert_same(mapper, records)

    same()


@pytest.mark.parametrize("entity", list(FIELDS))
def test_columns_give_what_one_by_one_gives(entity: Entity) -> None:
    prove(entity, 100)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("entity", list(FIELDS))
def test_columns_give_what_one_by_one_gives_at_length(entity: Entity) -> None:
    prove(entity, 5_000)


def assert_same(mapper: Mapper, records: Sequence[Any]) -> Mapped:
    """What `map_into` made of the records, which is what `map_each` makes of them, to the type."""
    before = deepcopy(records)
    by_columns, one_by_one = Mapped(), Mapped()
    mapper.map_into(by_columns, records)
    mapper.map_each(one_by_one, records)
    assert by_columns.rows == one_by_one.rows
    assert repr(by_columns.rows) == repr(one_by_one.rows)
    assert by_columns.rejects == one_by_one.rejects
    assert by_columns.filtered == one_by_one.filtered
    assert repr(by_columns.max_updated_at) == repr(one_by_one.max_updated_at)
    assert (one_by_one.one_by_one, records) == (len(records), before)
    return by_columns


def stock(number: int) -> dict[str, Any]:
    return {
        "part": f"P{number}", "title": "Bügel \\ \"3\"", "onHand": number, "cost": D(number) / 100, "ref": None,
        "at": f"2026-11-{number % 28 + 1:02d}T10:00:00Z", "state": ("A", "I")[number % 2], "more": {"x": [number]},
    }  # fmt: skip


STOCK = EntityMapping.model_validate(
    {
        "id_path": "part",
        "filter": "onHand != `7`",
        "updated_at_path": "at",
        "fields": {
            "sku": "part", "name": {"path": "title", "required": True}, "quantity_on_hand": "onHand",
            "unit_cost": "cost", "preferred_vendor_id": "ref", "currency": {"constant": "EUR"},
            "status": {"path": "state", "map": {"A": "active", "I": "inactive"}},
        },
    }
)  # fmt: skip


def test_the_everyday_page_takes_no_detour() -> None:
    mapped = assert_same(compile_mapping("inventory", STOCK), [stock(number) for number in range(50)])
    assert (len(mapped.rows), mapped.filtered, mapped.rejects, mapped.one_by_one) == (49, 1, [], 0)


def test_orders_with_lines_take_no_detour() -> None:
    records = [
        {"id": n, "order_number": f"O{n}", "order_date": "2026-11-22", "total": "12.50", "source_updated_at": "",
         "lines": [{"sku": "a", "quantity": 1}, {"sku": "b", "quantity": D("2.5"), "line_number": 7}][: n % 3]}
        for n in range(1, 20)
    ]  # fmt: skip
    mapped = assert_same(compile_mapping("purchase_orders", EntityMapping(id_path="id")), records)
    assert (len(mapped.rows), mapped.one_by_one) == (19, 0)
    assert [line[0] for line in mapped.rows[1].lines or []] == ["1", "7"]


@pytest.mark.parametrize(
    "wrong",
    [{"onHand": "many"}, {"at": 5, "title": None}, {"part": None}, {"title": "a\0b"}, {"cost": D("1E+99")},
     {"state": "?"}, {"title": "\ud800"}, {"part": "", "title": ""}],
    ids=range(8),
)  # fmt: skip
def test_a_wrong_record_alone_takes_the_detour(wrong: dict[str, Any]) -> None:
    records = [stock(number) for number in range(20, 60)]
    records[11] |= wrong
    mapped = assert_same(compile_mapping("inventory", STOCK), records)
    assert (len(mapped.rows), len(mapped.rejects), mapped.one_by_one) == (39, 1, 1)
    assert [row.external_id for row in mapped.rows] == [f"P{number}" for number in range(20, 60) if number != 31]


def test_rejects_keep_the_records_order() -> None:
    records: list[Any] = [stock(number) for number in range(20, 40)]
    for place, (name, value) in {3: ("state", "?"), 5: ("onHand", "?"), 2: ("part", None), 9: ("title", "")}.items():
        records[place][name] = value
    mapped = assert_same(compile_mapping("inventory", STOCK), records)
    assert [reject.field for reject in mapped.rejects] == ["external_id", "status", "quantity_on_hand"]
    records[4] = None
    assert len(assert_same(compile_mapping("inventory", STOCK), records).rejects) == 4


ODD: dict[tuple[Entity, str], tuple[list[Any], list[Any]]] = {
    ("inventory", "unit_cost"): (
        [5, D("1.50"), "1.50"],
        [D("-0.0"), D("0E-7"), D("0E+3"), D("1E+2"), D("-0.5"), D("1E+99"), "-0", "-0.00", "-0.5", "007", "1\n2", "+1",
         " 5 ", "1e3", "٣", "9" * 61, 10**61, 10**5000, True, [], "", None],
    ),
    ("vendors", "lead_time_days"): ([5, "5"], [True, 2**31, -(2**31), 2**31 - 1, D("5.0"), "", None, 10**5000]),
    ("purchase_orders", "order_date"): (
        ["2026-11-22"], ["2026-02-29", "", "2026-11-22\n", "2026-W01-1", 20261122, None],
    ),
    ("purchase_orders", "status"): (["draft"], ["", " ", None, "gone", True, 5]),
    ("inventory", "source_updated_at"): (
        ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00+02:00", "2026-11-22T10:00:00"],
        ["2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z", "0001-01-01T00:00:00+14:00", "2026-11-22T10:00:00.5Z", "",
         None, "2026-11-22T10:00:00-24:00", "2026-11-22", "2026-11-22T10:00:00Z\n", 5, D("1e11"), 10**5000, "?"],
    ),
    ("inventory", "name"): (["a", 5], ["", "\0", "\ud800", "x" * 100_001, True, D("1.50"), [], 10**5000, None]),
}  # fmt: skip


@pytest.mark.parametrize(("entity", "field"), list(ODD))
def test_one_odd_value_among_usual_ones(entity: Entity, field: str) -> None:
    usuals, odds = ODD[entity, field]
    own = {"inventory": "sku", "vendors": "name", "purchase_orders": "order_number"}[entity]
    for usual, more in product(usuals, ({}, {"required": True}, {"default": usuals[0]}, {"type": "string"})):
        fields = {own: "id", field: {"path": "v", **more}}
        mapping = {"id_path": "id", "updated_at_path": "v", "time_zone": "Asia/Tokyo", "fields": fields}
        mapper = compile_mapping(entity, EntityMapping.model_validate(mapping))
        for odd in odds:
            for values in ([usual, odd, usual], [odd], [odd] * 5 + [usual]):
                assert_same(mapper, [{"id": f"k{place}", "v": value} for place, value in enumerate(values)])


@pytest.mark.parametrize(
    "key", ["", " ", None, True, "a\0b", "\ud800", "ü" * 501, "x" * 1_001, 10**5000, D("5.0"), []], ids=range(11)
)
def test_one_odd_key_among_usual_ones(key: Any) -> None:
    mapper = compile_mapping("inventory", EntityMapping(id_path="id"))
    for usual in ("k", 5):
        assert_same(mapper, [{"id": usual, "sku": "s"}, {"id": key, "sku": "s"}, {"id": usual, "sku": "s"}])


def test_a_record_without_what_every_row_needs() -> None:
    records = [{"id": 1, "sku": "s"}, {"id": 2, "sku": ""}, {"id": 3, "name": "n"}, {"id": 4}]
    mapped = assert_same(compile_mapping("inventory", EntityMapping(id_path="id")), records)
    assert ([reject.external_id for reject in mapped.rejects], mapped.one_by_one) == (["2", "4"], 2)


def test_a_field_named_like_an_expression() -> None:
    mapper = compile_mapping("inventory", EntityMapping.model_validate({"id_path": "id", "fields": {"sku": "a.b"}}))
    mapped = assert_same(mapper, [{"id": 1, "a.b": "s", "a": {"b": "t"}}, {"id": 2, "a": {"b": "t"}, "x": 1}])
    assert [row.extra for row in mapped.rows] == ['{"a":{"b":"t"}}', '{"x":1}']


def test_a_format_of_its_own_is_the_only_one() -> None:
    form = {"path": "v", "format": "%d.%m.%Y"}
    fields = {"order_number": "id", "order_date": form, "source_updated_at": form}
    mapping = EntityMapping.model_validate({"id_path": "id", "updated_at_path": "u", "fields": fields})
    records = [{"id": 1, "u": "2026-11-22T10:00:00Z", "v": "22.11.2026"}, {"id": 2, "v": "2026-11-22"}]
    mapped = assert_same(compile_mapping("purchase_orders", mapping), records)
    assert (len(mapped.rows), len(mapped.rejects), mapped.max_updated_at) == (1, 1, None)


def test_a_filter_that_fails_after_a_record_that_it_dropped() -> None:
    mapper = compile_mapping("inventory", EntityMapping(id_path="id", filter="sum(n) > `0`"))
    records = [{"id": place, "sku": "s", "n": n} for place, n in enumerate(([], [], [1], "x", [2], [], [3]))]
    mapped = assert_same(mapper, records)
    assert ([row.external_id for row in mapped.rows], mapped.filtered, mapped.one_by_one) == (["2", "4", "6"], 3, 1)


@pytest.mark.parametrize(
    "odd",
    ["\0", "\ud800", D("1E+999999"), 10**5000, "x" * 9_990, "ü" * 40_000, "x" * 70_000, "a\nb", "\u2028", D("1E-9")],
    ids=range(10),
)
def test_one_odd_value_that_nobody_maps(odd: Any) -> None:
    mapper = compile_mapping("inventory", EntityMapping(id_path="id"))
    mapped = assert_same(mapper, [{"id": n, "sku": "s", "x": odd if n == 3 else n, "y": "ä"} for n in range(6)])
    assert (len(mapped.rows), mapped.one_by_one) == (6, 0)


@pytest.mark.parametrize(
    "order",
    [{"lines": [{}, {"line_number": 1}]}, {"lines": [{"quantity": "?"}]}, {"lines": [{"sku": "\0"}]}, {"lines": [5]},
     {"lines": {}}, {"lines": []}, {"lines": [{"line_number": "1"}, {"line_number": 1}]}, {}],
    ids=range(8),
)  # fmt: skip
def test_one_odd_order_among_usual_ones(order: dict[str, Any]) -> None:
    usual = {"order_number": "o", "lines": [{"sku": "a"}, {"sku": "b"}]}
    records = [{"id": 1, **usual}, {"id": 2, "order_number": "o", **order}, {"id": 3, **usual}]
    fields = {"order_number": "order_number", "lines": "lines"}
    for mapping in (EntityMapping(id_path="id"), EntityMapping.model_validate({"id_path": "id", "fields": fields})):
        assert_same(compile_mapping("purchase_orders", mapping), records)


@pytest.mark.parametrize(
    ("field_type", "values", "cells"),
    [
        ("text", ["a", None, "", 5], ["a", None, "", "5"]),
        ("numeric", [1, None, -3], ["1", None, "-3"]),
        ("numeric", [1, D("2.50"), D("0.00")], ["1", "2.50", "0.00"]),
        ("numeric", ["1", "", None, "-0.50", "0.00"], ["1", None, None, "-0.50", "0.00"]),
        ("integer", [1, None, -3], ["1", None, "-3"]),
        ("date", ["2026-11-22", None, ""], ["2026-11-22", None, None]),
        ("timestamptz", ["2026-11-22T10:00:00Z", None], ["2026-11-22T10:00:00+00:00", None]),
        ("timestamptz", ["2026-11-22T10:00:00-08:00", ""], ["2026-11-22T18:00:00+00:00", None]),
    ],
)
def test_the_commonest_forms_are_converted_as_a_column(
    field_type: FieldType, values: list[Any], cells: list[Cell]
) -> None:
    assert _columns(field_type, Notation(), values) == cells


def test_a_column_knows_the_decimal_comma() -> None:
    assert _columns("numeric", Notation(",", "."), ["1,50", "-2", None]) == ["1.50", "-2", None]


def _columns(field_type: FieldType, notation: Notation, values: list[Any]) -> list[Cell]:
    """The column of the values, of a rule that converts none alone."""

    def convert(value: object) -> Cell:
        raise AssertionError(f"{value!r} was converted alone")

    spec = FieldSpec("f", field_type)
    rule = replace(plain_rule(spec, name_path("v"), notation), convert=convert)
    doubtful: set[int] = set()
    (column,) = Columns([spec], [rule]).read([{"v": value} for value in values], doubtful)
    assert doubtful == set()
    return column
