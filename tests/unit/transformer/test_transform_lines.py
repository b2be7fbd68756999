"""The lines of purchase orders."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from services.transformer.engine import Mapped
from shared.errors import MappingError

D = Decimal
Apply = Callable[..., Mapped]
EXPRESSION = "items[].{item_id: to_string(item), quantity: qty, unit_cost: price}"


def order(apply: Apply, lines: Any, raw: Any) -> Any:
    fields = {"order_number": "no", "lines": lines}
    return apply([{"id": 1, "no": "PO", "items": raw}], fields, entity="purchase_orders")


def test_an_expression_yields_the_lines_in_order(apply: Apply) -> None:
    raw = [{"item": 7, "qty": 0, "price": D("12.50")}, {"item": None, "qty": "2"}]
    (row,) = order(apply, EXPRESSION, raw).rows
    assert row.lines == [
        ["1", "7", None, None, "0", None, "12.50", None],
        ["2", None, None, None, "2", None, None, None],
    ]
    assert row.extra == "{}"


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [([{}, {}], ["1", "2"]), ([{"line_number": 10}, {"line_number": "20"}], ["10", "20"]), ([], []), (None, []),
     ([{"line_number": 2}, {"line_number": 1}], ["2", "1"]), ([{"line_number": D("3.0")}, {}], ["3", "2"])],
)  # fmt: skip
def test_line_numbers_default_to_the_position(apply: Apply, raw: Any, numbers: list[str]) -> None:
    (row,) = order(apply, "items", raw).rows
    assert [line[0] for line in row.lines] == numbers


@pytest.mark.parametrize(
    ("raw", "field", "said"),
    [
        ([{}, {}, {"quantity": "x"}], "lines[2].quantity", "expected a number, got 'x'"),
        ([{"line_number": 2}, {}], "lines[1].line_number", "2 is taken"),
        ([{"line_number": D("1.5")}], "lines[0].line_number", "whole number"),
        ([{"sku": "a\0"}], "lines[0].sku", "NUL"),
        ([{"sku": ["a"]}], "lines[0].sku", "expected text, got a list"),
        ([{}, 5], "lines[1]", "expected an object, got 5"),
        ({"a": 1}, "lines", "expected a list of objects, got an object"),
        ("text", "lines", "expected a list of objects"),
        ([{}] * 5001, "lines", "at most 5000 lines"),
    ],
)
def test_one_bad_line_rejects_the_order(apply: Apply, raw: Any, field: str, said: str) -> None:
    mapped = order(apply, "items", raw)
    assert mapped.rows == []
    (reject,) = mapped.rejects
    assert (reject.external_id, reject.field) == ("1", field)
    assert said in reject.reason


def test_default_constant_and_required(apply: Apply) -> None:
    assert order(apply, {"path": "items", "default": [{"sku": "d"}]}, None).rows[0].lines[0][2] == "d"
    assert order(apply, {"constant": [{"quantity": 1.5}]}, None).rows[0].lines[0][4] == "1.5"
    assert order(apply, {"path": "items", "required": True}, None).rejects[0].field == "lines"


@pytest.mark.parametrize(
    "rule", [{"constant": "x"}, {"path": "items", "default": [1]}, {"path": "items", "type": "string"}, "items[].{a: "]
)
def test_a_bad_rule_is_refused(apply: Apply, rule: Any) -> None:
    with pytest.raises(MappingError, match="field lines"):
        order(apply, rule, [])


def test_a_failing_expression_names_the_lines(apply: Apply) -> None:
    (reject,) = order(apply, "map(&qty, items)", 5).rejects
    assert (reject.field, reject.reason) == ("lines", "map() expects an array, got number")


def test_lines_that_are_not_mapped_are_none(apply: Apply) -> None:
    (row,) = apply([{"id": 1, "no": "PO"}], {"order_number": "no"}, entity="purchase_orders").rows
    assert row.lines is None


@pytest.mark.parametrize(
    ("raw", "lines", "extra"),
    [([{"sku": "a", "quantity": 2}], [["1", None, "a", None, "2", None, None, None]], "{}"), ([], [], "{}"),
     ("a;b", None, '{"lines":"a;b"}'), ([1], None, '{"lines":[1]}')],
)  # fmt: skip
def test_without_a_mapping_a_list_of_objects_named_lines_is_taken(
    apply: Apply, raw: Any, lines: Any, extra: str
) -> None:
    (row,) = apply([{"id": 1, "order_number": "PO", "lines": raw}], entity="purchase_orders").rows
    assert (row.lines, row.extra) == (lines, extra)
