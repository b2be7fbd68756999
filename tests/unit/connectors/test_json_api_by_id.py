"""One record by its id: where it is asked for, and where in the answer it is."""

from typing import Any

import pytest

from shared.connectors.json_api.by_id import address, record_of
from shared.connectors.json_api.config import EntityConfig
from shared.errors import DataError


def config(records_path: str | None = None, id_path: str = "id") -> EntityConfig:
    return EntityConfig(url="https://stock.example.com/items", id_path=id_path, records_path=records_path)


@pytest.mark.parametrize(
    ("external_id", "expected"),
    [
        ("7", "https://stock.example.com/items/7?full=1"),
        ("A/B?c#d&e=%2F ü", "https://stock.example.com/items/A%2FB%3Fc%23d%26e%3D%252F%20%C3%BC?full=1"),
        ("{id}", "https://stock.example.com/items/%7Bid%7D?full=1"),
        ("...", "https://stock.example.com/items/...?full=1"),
    ],
)
def test_an_id_stays_one_part_of_the_url(external_id: str, expected: str) -> None:
    assert address("https://stock.example.com/items/{id}?full=1", external_id) == expected


@pytest.mark.parametrize("external_id", ["", ".", "..", "\ud800"])
def test_an_id_that_no_url_can_hold_is_refused(external_id: str) -> None:
    with pytest.raises(DataError, match="by_id_url"):
        address("https://stock.example.com/items/{id}", external_id)


RECORD = {"id": 7, "name": "Bolt"}


@pytest.mark.parametrize(
    ("body", "records_path"),
    [
        (RECORD, None),
        (RECORD, "data"),
        (RECORD, "sum(nothing.here)"),
        ([RECORD], None),
        ({"data": RECORD}, "data"),
        ({"data": [{"id": "8"}, RECORD]}, "data"),
        ({"id": 8, "data": RECORD}, "data"),
    ],
)
def test_the_record_is_the_answer_or_where_records_path_says(body: Any, records_path: str | None) -> None:
    assert record_of(body, config(records_path), "7") == RECORD


@pytest.mark.parametrize(("body", "records_path"), [([], None), ({"data": []}, "data")])
def test_an_empty_list_says_that_there_is_none(body: Any, records_path: str | None) -> None:
    assert record_of(body, config(records_path), "7") is None


@pytest.mark.parametrize("body", [{"id": 8}, {"id": "07"}, {"data": RECORD}, {}, None, "7", 7, [RECORD | {"id": 8}]])
def test_any_other_answer_is_refused(body: Any) -> None:
    with pytest.raises(DataError, match="by_id_url"):
        record_of(body, config(), "7")


def test_the_id_is_found_as_in_a_list() -> None:
    assert record_of({"key": {"no": "A-1"}}, config(id_path="join('-', [key.no, '1'])"), "A-1-1") is not None
