"""What compiles to a name, what to an expression, and what is refused with a place."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.mapping import MAX_EXPRESSION_CHARS
from shared.errors import MappingError
from shared.expressions.limits import ExpressionError, Meter
from shared.expressions.paths import compile_expression, compile_path, name_path
from shared.expressions.values import equal


@pytest.mark.parametrize(
    "name", ["Qty On Hand", "qty-on-hand", "SKU #", "a/b", "Item No.", "12", "Größe", "a..b", "100%", "Vendor's code"]
)
def test_a_text_that_is_no_expression_is_a_name(name: str) -> None:
    path = compile_path(name)
    assert path.get({name: 0}) == 0
    assert path.get({name: None, "a": 1}) is None
    assert path.get({}) is None
    assert path.fields == {name}


def test_the_exact_name_wins_over_the_expression_record_by_record() -> None:
    path = compile_path("a.b")
    assert path.get({"a.b": 1, "a": {"b": 2}}) == 1
    assert path.get({"a": {"b": 2}}) == 2
    assert path.get({"a.b": None, "a": {"b": 2}}) is None
    path = compile_path("sum(a)")
    assert path.get({"sum(a)": "as it is", "a": [1]}) == "as it is"
    assert path.get({"a": [1]}) == 1


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("sum(lines[].qty", 16, "not complete"),
        ("nope(a)", 1, "unknown function nope()"),
        ("a || totl(b)", 6, "unknown function totl()"),
        ("length(a, b)", 1, "takes 1 argument"),
        ("sort_by(a, b)", 1, "argument 2 of sort_by() is an &expression"),
        ("not_null(&a)", 1, "&expression"),
        ("Price (USD)", 1, "unknown function Price()"),
        ("a b?", 4, "Unknown token ?"),
        ("a[?b == ]", 9, ""),
        ("a[::0]", 1, "step"),
        ("a.{b: c", 8, "not complete"),
        ('"open', 1, "Unclosed"),
        ("`[1`", 1, ""),
        ("(" * 2000, 61, "deeply"),
        ("!" * 2000, 61, "deeply"),
        ("`" + "[" * 1500 + "]" * 1500 + "`", 1, "deeply"),
        ("`1e99999999999999999999`", 1, "too large"),
        (" || ".join(["a"] * 700), 1, "parts"),
        ("[" + ", ".join(["a"] * 1300) + "]", 1, "parts"),
    ],
)  # fmt: skip
def test_a_bad_expression_says_what_and_where(text: str, column: int, said: str) -> None:
    with pytest.raises(MappingError) as caught:
        compile_path(text)
    assert f"column {column}:" in caught.value.message
    assert said in caught.value.message
    assert text[:20] in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "  ", "a" * (MAX_EXPRESSION_CHARS + 1) + "()"])
def test_empty_and_endless_texts_are_refused(text: str) -> None:
    with pytest.raises(MappingError):
        compile_path(text)
    with pytest.raises(MappingError):
        compile_expression(text)


def test_a_filter_is_never_a_mere_name() -> None:
    with pytest.raises(MappingError):
        compile_expression("qty 0")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("sku", {"sku"}),
        ("supplier.id", {"supplier"}),
        ("lines[].{q: qty, p: price.net}", {"lines"}),
        ("sum(lines[?kind == 'x'].qty)", {"lines"}),
        ("a || b.c || `x`", {"a", "b"}),
        ("join(' ', [first, last])", {"first", "last"}),
        ("@.a", {"a"}),
        ("(@ || b).c", {"b", "c"}),
        ("sort_by(rows, &price)[0].name", {"rows"}),
        ("*.x", set()),
        ("length(@)", set()),
        ("a | b", {"a"}),
        ("!a && b == `1`", {"a", "b"}),
    ],
)
def test_the_top_level_fields_it_reads(text: str, fields: set[str]) -> None:
    assert compile_path(text).fields == fields


def test_name_path_takes_any_name() -> None:
    assert name_path("Price (USD)").get({"Price (USD)": 1}) == 1


@pytest.mark.parametrize(
    "text",
    [
        " | ".join(["[@, @][]"] * 60),
        " | ".join(["[@, @]"] * 60) + " | to_string(@)",
        " | ".join(["join('', [@, @])"] * 60),
        " | ".join(["{a: @, b: @}"] * 40) + " | [@ == @]",
    ],
)
def test_doubling_ends_in_an_error_not_in_the_memory(text: str) -> None:
    with pytest.raises(ExpressionError, match="too much"):
        compile_expression(text).get("xyzzy")  # type: ignore[arg-type] # any JSON value may be searched


def test_comparing_is_metered() -> None:
    tree: Any = []
    for _ in range(60):
        tree = [tree, tree]
    with pytest.raises(ExpressionError):
        equal(tree, tree, Meter())


def test_deep_data_is_a_records_error() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(ExpressionError):
        compile_expression("to_string(@)").get(deep)


PIECES = st.sampled_from(
    ["a", "b.c", "[", "]", "(", ")", "{", "}", "*", "|", "||", "&", "&&", "@", "`1.5`", "'x'", '"q"', "?", ":", ",",
     ".", " ", "!", "==", "<", "sum", "sort_by", "to_string", "-1", "0", "é", "[?", "[]", "`", "\\"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=1000, deadline=None)
def test_any_text_compiles_or_is_a_mapping_error(text: str) -> None:
    try:
        path = compile_path(text)
    except MappingError:
        return
    with suppress(ExpressionError):
        path.get({"a": [1, {"b": "x"}], "b": {"c": None}})
