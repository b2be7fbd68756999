"""The column decoder: any cut of the bytes, any notation, and every way in which columns can be wrong."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.connector_sdk.spool import SpoolSpace
from shared.connectors.finale.columns import column_table
from shared.connectors.finale.splitter import MAX_ELEMENT_BYTES
from shared.contracts.messages import RawRecord
from shared.errors import DataError, UnusableBodyError


async def chunks_of(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def decode(body: str | bytes, size: int = 7, *names: str) -> list[RawRecord]:
    data = body.encode() if isinstance(body, str) else body
    async with column_table(chunks_of(data, size), "product", SpoolSpace()) as table:
        return [row async for row in table.rows(*names)]


async def test_columns_become_rows_without_their_nulls() -> None:
    lists = '"list": [[], [{"x": [1, "]"]}]], "note": ["--", ""]'
    body = f'{{"id": ["A", "B"], "lead": [14, null], "price": [0.450, 0], {lists}}}'
    assert await decode(body) == [
        {"id": "A", "lead": 14, "price": Decimal("0.450"), "list": []},
        {"id": "B", "price": 0, "list": [{"x": [1, "]"]}], "note": ""},
    ]
    assert await decode(body, 3, "id", "lead") == [{"id": "A", "lead": 14}, {"id": "B"}]


@pytest.mark.parametrize("body", ["{}", " { } \n", '{"id": []}', '{"id":[],"b":[ ]}', "\ufeff{}"])
async def test_an_empty_collection_is_no_rows_in_either_form(body: str) -> None:
    assert await decode(body) == []


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 5),
    data=st.data(),
    size=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
async def test_any_table_in_any_notation_and_any_pieces_is_read_as_it_is(
    rows: int, data: st.DataObject, size: int, indent: int | None, ascii_only: bool
) -> None:
    names = data.draw(st.lists(st.text(max_size=8), unique=True, max_size=5))
    column = st.lists(_VALUES, min_size=rows, max_size=rows)
    columns: dict[str, list[Any]] = {name: data.draw(column) for name in names}
    try:
        body = json.dumps(columns, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return

    due = [
        {name: values[at] for name, values in columns.items() if values[at] is not None and values[at] != "--"}
        for at in range(rows if columns else 0)
    ]
    assert await decode(body, size) == due


async def test_more_rows_than_a_block_keep_their_places() -> None:
    columns = {"id": list(range(1234)), "text": [None if at % 3 else f"t{at}" for at in range(1234)]}
    found = await decode(json.dumps(columns), 100)
    assert found == [{"id": at} | ({} if at % 3 else {"text": f"t{at}"}) for at in range(1234)]


@pytest.mark.parametrize(
    ("body", "name"),
    [('{"a":[1,2],"b":[1]}', "b"), ('{"a":[],"b":[1]}', "a"), ('{"a":[1,2],"b":[1,2],"c":[[1,2]]}', "c")],
)
async def test_a_short_column_is_an_error_that_names_it_and_no_shift(body: str, name: str) -> None:
    with pytest.raises(DataError, match=f"the column {name} has"):
        await decode(body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        '{"a":[1,2',
        '{"a":["x',
        '{"a":[1]',
        '{"a":[{"b":1',
        '{"a"',
        '{"a":[1]} x',
        "[]",
        '"a"',
        '{"a":[1,]}',
        '{"a":[,1]}',
        '{"a":[1 2]}',
        '{"a":[1],}',
        "{a:[1]}",
        '{"a":[tru]}',
        '{"a":[NaN]}',
        '{"a":[{]}]}',
        '{"a":[1}',
    ],
)
@pytest.mark.parametrize("size", [1, 100])
async def test_what_is_cut_or_no_json_is_no_answer(body: str, size: int) -> None:
    with pytest.raises(UnusableBodyError):
        await decode(body, size)


async def test_values_that_are_no_lists_stand_beside_the_columns() -> None:
    body = b'{"success": false, "id": [1], "nested": {"a": [1]}, "n": 1.50}'
    async with column_table(chunks_of(body, 2), "product", SpoolSpace()) as table:
        assert table.others == {"success": False, "nested": {"a": [1]}, "n": Decimal("1.50")}
        assert table.names == {"id"}


async def test_of_a_name_used_twice_the_last_counts() -> None:
    assert await decode('{"a":[1,2,3],"b":[7],"a":[9]}') == [{"a": 9, "b": 7}]


async def test_one_value_is_bounded_and_so_are_the_columns() -> None:
    with pytest.raises(DataError, match="larger than"):
        await decode(b'{"a":["' + b"x" * (MAX_ELEMENT_BYTES + 200_000), 100_000)
    with pytest.raises(DataError, match="columns"):
        await decode("{" + ",".join(f'"c{at}":[]' for at in range(1001)) + "}", 1000)
    with pytest.raises(DataError, match="nested"):
        await decode('{"a":[' + "[" * 200 + "]" * 200 + "]}", 1000)
