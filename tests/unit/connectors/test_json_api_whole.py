"""An answer without pages: the same records whether it is small or large, and the same refusals."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from shared.connector_sdk.protocol import BadRecord, OnHeaders, ReadRequest, Request, Response
from shared.connectors.json_api.records import plain_path
from shared.connectors.json_api.source import CONNECTOR, SAMPLE_RECORDS
from shared.connectors.json_api.whole import MAX_WHOLE_BYTES, SMALL_BYTES
from shared.contracts.messages import RawRecord
from shared.errors import DataError, UnusableBodyError

READ = ReadRequest("inventory", since=None)
LONG = "x" * 2_000
"""Fills bodies quickly."""


class FakeClient:
    """Streams a body, and knows how much of it was taken and whether it was closed."""

    def __init__(self, body: bytes, times: int = 1) -> None:
        self._body = body
        self._times = times
        self.sent = 0
        self.open = 0

    async def send(self, request: Request) -> Response:  # noqa: ARG002 - the port's signature
        raise AssertionError("an answer without pages is streamed")

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        assert request.method == "GET"
        self.open += 1
        if on_headers is not None:
            on_headers({"content-type": "application/json"})
        try:
            for at in [*range(0, len(self._body), 100_000)] * self._times:
                self.sent += 100_000
                yield self._body[at : at + 100_000]
        finally:
            self.open -= 1


def config(records_path: str | None) -> dict[str, Any]:
    path = {} if records_path is None else {"records_path": records_path}
    return {"entities": {"inventory": {"url": "https://a.example/all", "id_path": "id"} | path}}


async def read(client: FakeClient, records_path: str | None) -> list[RawRecord | BadRecord]:
    records = [record async for record in CONNECTOR.open(config(records_path), client).read_all(READ)]
    assert client.open == 0
    return records


def body_of(value: Any, *, large: bool) -> bytes:
    """The value as JSON; `large` puts records of its own in front of the first one."""
    text = json.dumps(value).encode()
    if not large:
        return text
    place = text.index(b'{"id"')
    record = b'{"id":0,"fill":"%s"},' % LONG.encode()
    return text[:place] + record * (SMALL_BYTES // len(record) + 1) + text[place:]


RECORDS = [{"id": "first"}, {"id": "last"}]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("value", "records_path"),
    [
        (RECORDS, None),
        (RECORDS, "@"),
        ({"a": {"total": 2, "list": RECORDS}, "more": [1, {"list": []}]}, "a.list"),
        ({"list": RECORDS}, "list || `[]`"),
        ({"list": RECORDS}, "list[?id]"),
    ],
)
async def test_small_and_large_answers_give_the_same_records(value: Any, records_path: str | None, large: bool) -> None:
    body = body_of(value, large=large)
    assert (len(body) > SMALL_BYTES) == large

    found = await read(FakeClient(body), records_path)

    assert [record for record in found if isinstance(record, dict) and "fill" not in record] == RECORDS
    assert len(found) == body.count(b'"id"')


@pytest.mark.parametrize("large", [False, True])
async def test_an_element_that_is_no_object_is_kept_apart(large: bool) -> None:
    found = await read(FakeClient(body_of([{"id": 1}, "oops", {"id": 2}, None], large=large)), None)
    assert [record for record in found if isinstance(record, BadRecord)] == [
        BadRecord('"oops"', "expected an object, got string"),
        BadRecord("null", "expected an object, got null"),
    ]
    assert {"id": 1} in found
    assert {"id": 2} in found


@pytest.mark.parametrize(
    ("value", "records_path", "says"),
    [
        ({"error": "no"}, None, "the answer holds object"),
        ({"data": None}, "data", "records_path holds null"),
        ({"data": {"item": []}}, "data", "records_path holds object"),
        (["a", "b"], None, "element 0 is string"),
    ],
)
async def test_what_is_no_list_of_objects_is_refused(value: Any, records_path: str | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        await read(FakeClient(json.dumps(value).encode()), records_path)


async def test_a_large_list_without_any_object_is_refused_as_a_small_one_is() -> None:
    body = json.dumps([LONG] * 5_000).encode()
    with pytest.raises(DataError, match="element 0 is string"):
        await read(FakeClient(body), None)


async def test_no_list_in_a_large_answer_is_refused_before_its_end() -> None:
    client = FakeClient(b'{"other":[' + b'{"id":1},' * 20_000, times=1_000)
    with pytest.raises(DataError, match="without a whole record"):
        await read(client, "data")
    assert client.sent < 2 * SMALL_BYTES


async def test_an_optional_list_may_be_null() -> None:
    assert await read(FakeClient(b'{"data":null}'), "data || `[]`") == []


@pytest.mark.parametrize("large", [False, True])
async def test_a_cut_answer_is_tried_again(large: bool) -> None:
    with pytest.raises(UnusableBodyError):
        await read(FakeClient(body_of(RECORDS, large=large)[:-1]), None)


async def test_an_expression_sees_an_answer_of_bounded_size_only() -> None:
    client = FakeClient(b" " * 100_000, times=10_000)
    with pytest.raises(DataError, match="is an expression") as caught:
        await read(client, "data[?a]")
    assert "plain path" in caught.value.hint
    assert client.sent <= MAX_WHOLE_BYTES + 200_000
    assert client.open == 0


async def test_a_test_of_the_source_reads_a_sample_and_hangs_up() -> None:
    client = FakeClient(body_of(RECORDS, large=True) * 3)
    assert await CONNECTOR.open(config(None), client).check("inventory") == SAMPLE_RECORDS
    assert client.sent <= SMALL_BYTES + 200_000
    assert client.open == 0
    assert await CONNECTOR.open(config(None), FakeClient(b'[{"id":1},2]')).check("inventory") == 1


@pytest.mark.parametrize("text", ["a[0]", "a | b", "a.b[]", '"a"', "a-b", "a || b", "keys(@)", "a.*"])
def test_what_is_no_plain_path(text: str) -> None:
    assert plain_path(text) is None
