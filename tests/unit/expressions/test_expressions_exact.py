"""Numbers stay exact through every function, and nulls stay null."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.messages import decode_json
from shared.expressions.exact import exact_sum, plain_text
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import compile_expression

D = Decimal
LINES = {"lines": [{"qty": 2, "price": D("0.10")}, {"qty": 3, "price": D("0.20")}], "none": [], "null": None}


def evaluate(expression: str, record: Any) -> Any:
    return compile_expression(expression).get(record)


@pytest.mark.parametrize(
    ("expression", "record", "text"),
    [
        ("`12.10`", {}, "12.10"),
        ("`[0.1, {\"x\": 1e-7}]` | [1].x", {}, "0.0000001"),
        ("sum(lines[].price)", LINES, "0.30"),
        ("sum(lines[].qty)", LINES, "5"),
        ("sum([qty, price])", {"qty": 10**30, "price": D("0.01")}, "1000000000000000000000000000000.01"),
        ("sum(none)", LINES, "0"),
        ("avg(@)", [1, 2], "1.5"),
        ("avg(@)", [D("0.10"), D("0.30")], "0.20"),
        ("avg(@)", [10, 0, 0], "3." + "3" * 33),
        ("max(lines[].price)", LINES, "0.20"),
        ("min(lines[].price)", LINES, "0.10"),
        ("max(@)", [D("2.50"), 2], "2.50"),
        ("max_by(lines, &price).qty", LINES, "3"),
        ("min_by(lines, &price).price", LINES, "0.10"),
        ("sort_by(lines, &price)[-1].price", LINES, "0.20"),
        ("sort(@)[0]", [2, D("1.10"), D("1.1")], "1.10"),
        ("to_number('12.50')", {}, "12.50"),
        ("to_number(' -7 ')", {}, "-7"),
        ("to_number('1e3')", {}, "1000"),
        ("to_number(@)", D("0.30"), "0.30"),
        ("abs(@)", D("-1234567890123456789012345678901234.50"), "1234567890123456789012345678901234.50"),
        ("ceil(@)", D("1.01"), "2"),
        ("floor(@)", D("-1.01"), "-2"),
        ("ceil(@)", D("1234567890123456789012345678901234.5"), "1234567890123456789012345678901235"),
    ],
)  # fmt: skip
def test_numbers(expression: str, record: Any, text: str) -> None:
    value = evaluate(expression, record)
    assert type(value) in (int, Decimal)
    assert plain_text(value) == text


@pytest.mark.parametrize(
    ("expression", "record", "value"),
    [
        ("to_string(@)", None, None),
        ("to_string(missing)", {}, None),
        ("to_string(@)", D("12.50"), "12.50"),
        ("to_string(@)", D("1E+5"), "100000"),
        ("to_string(@)", D("1E-9"), "0.000000001"),
        ("to_string(@)", D("1E+999999"), "1E+999999"),
        ("to_string(@)", 0, "0"),
        ("to_string(@)", True, "true"),
        ("to_string(@)", "", ""),
        ("to_string(@)", {"a": [D("1.50"), None, "ü\"\n"], "b": {}}, '{"a":[1.50,null,"ü\\"\\n"],"b":{}}'),
        ("sum(missing)", {}, None),
        ("sum(lines[].qty)", {}, None),
        ("avg(missing)", {}, None),
        ("avg(@)", [], None),
        ("max(missing)", {}, None),
        ("min(none)", LINES, None),
        ("max_by(missing, &a)", {}, None),
        ("to_number('')", {}, None),
        ("to_number('12abc')", {}, None),
        ("to_number('NaN')", {}, None),
        ("to_number('Infinity')", {}, None),
        ("to_number('1_000')", {}, None),
        ("to_number(`true`)", {}, None),
        ("type(@)", D("1.0"), "number"),
        ("type(@)", True, "boolean"),
        ("@ == `1.0`", 1, True),
        ("@ == `1`", True, False),
        ("[@] == `[1]`", [True], False),
        ("@ > `0.1`", D("0.10000000000000000000000000000001"), True),
        ("@ < 'x'", 1, None),
        ("@ > `0`", True, None),
        ("contains(@, `1.5`)", [D("1.50")], True),
        ("contains(@, `1`)", [True], False),
        ("contains('a1', `1`)", {}, False),
        ("@ && 'kept'", 0, "kept"),
        ("!@", D("0.0"), False),
        ("lines[?price > `0.1`].qty", LINES, [3]),
    ],
)  # fmt: skip
def test_values(expression: str, record: Any, value: Any) -> None:
    result = evaluate(expression, record)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("expression", "record"),
    [
        ("sum(@)", ["1"]), ("sum(@)", [True]), ("max(@)", [1, "a"]), ("max(@)", [None]), ("sort(@)", [{}]),
        ("sort_by(@, &a)", [{"a": 1}, {"a": "x"}]), ("length(@)", 5), ("abs(@)", "1"), ("abs(@)", True),
        ("ceil(@)", None), ("join(',', @)", [1]), ("keys(@)", []), ("merge(@, @)", []), ("starts_with(@, 'a')", 1),
        ("map(&a, @)", {}),
        ("reverse(@)", 1), ("contains(@, 'a')", 5), ("sum(@)", [D("1E+999999"), D("1E-999999")]),
    ],
)  # fmt: skip
def test_a_type_error_is_the_records_error_and_shows_no_data(expression: str, record: Any) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(expression, record)
    assert "expects" in str(caught.value) or "needs more" in str(caught.value)


decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40, places=12)


@given(decimals)
def test_a_literal_is_the_number_it_writes(number: Decimal) -> None:
    text = format(number, "f")
    assert plain_text(evaluate(f"`{text}`", {})) == plain_text(decode_json(text))
    assert evaluate(f"to_number('{text}')", {}) == number


@given(st.lists(decimals | st.integers(-(10**40), 10**40), max_size=30))
def test_sums_are_exact(numbers: list[Any]) -> None:
    total = exact_sum(numbers)
    assert type(total) in (int, Decimal)
    assert Fraction(total) == sum(map(Fraction, numbers))
