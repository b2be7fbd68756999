"""A whole file through the connector, from its bytes: records, rejects, and every way a file can be wrong."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from shared.connector_sdk.protocol import BadRecord, OnHeaders, ReadRequest, Request, Response
from shared.connectors.csv_api.source import CONNECTOR, SAMPLE_ROWS
from shared.contracts.messages import RawRecord
from shared.errors import ConfigurationError, DataError, UnusableBodyError

URL = "https://a.example/items.csv"
READ = ReadRequest("inventory", since=None)


class FakeClient:
    """Streams these bytes in pieces, and knows whether it was closed."""

    def __init__(self, body: bytes, content_type: str = "text/csv", piece: int = 7) -> None:
        self._body = body
        self._content_type = content_type
        self._piece = piece
        self.requests: list[Request] = []
        self.sent = 0
        self.open = 0

    async def send(self, request: Request) -> Response:  # noqa: ARG002 - the port's signature
        raise AssertionError("a file is streamed")

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        self.requests.append(request)
        self.open += 1
        if on_headers is not None:
            on_headers({"content-type": self._content_type})
        try:
            for at in range(0, len(self._body), self._piece):
                self.sent += self._piece
                yield self._body[at : at + self._piece]
        finally:
            self.open -= 1


def config(**more: Any) -> dict[str, Any]:
    return {"entities": {"inventory": {"url": URL, "id_column": "sku"} | more}}


async def read(body: str | bytes, content_type: str = "text/csv", **more: Any) -> list[RawRecord | BadRecord]:
    data = body.encode() if isinstance(body, str) else body
    client = FakeClient(data, content_type)
    records = [record async for record in CONNECTOR.open(config(**more), client).read_all(READ)]
    assert client.open == 0
    return records


async def test_a_file_becomes_records() -> None:
    assert await read('sku,name,stock\n1,"Chai, loose",39\n2,"two\r\nlines",\n3,--,0\n') == [
        {"sku": "1", "name": "Chai, loose", "stock": "39"},
        {"sku": "2", "name": "two\r\nlines", "stock": None},
        {"sku": "3", "name": None, "stock": "0"},
    ]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("sku\tname\n1\tChai\n", {"delimiter": "\\t"}),
        ("sku;name\r\n1;Chai\r\n", {"delimiter": ";"}),
        ("'sku','name'\r1,'Chai'", {"quotechar": "'"}),
        ('Stock list\n\n "as of" today\nsku,name\n1,Chai\n', {"skip_rows": 3}),
        ("1,Chai\n", {"columns": ["sku", "name"]}),
        ("chatter\n1,Chai\n", {"columns": ["sku", "name"], "skip_rows": 1}),
        (" sku , name \n1,Chai\n\n,\n   \n\n", {}),  # blank lines, and the empty cells that spreadsheets leave
        ("sku,name\n1,Chai\n".encode("utf-8-sig"), {}),
        ("sku,name\n1,Chai\n".encode("utf-16"), {}),
        ("sku,name\n1,Chai\n".encode("utf-16-be"), {"encoding": "utf-16-be"}),
    ],
)
async def test_dialects(body: str | bytes, more: dict[str, Any]) -> None:
    assert await read(body, **more) == [{"sku": "1", "name": "Chai"}]


async def test_the_charset_of_the_answer_counts() -> None:
    assert await read("sku,name\n1,Café\n".encode("cp1252"), "text/csv; charset=windows-1252") == [
        {"sku": "1", "name": "Café"}
    ]


async def test_null_words_are_compared_exactly() -> None:
    records = await read("sku,a,b,c,d\n1,NULL,null,,--\n", null_values=["NULL", "n/a"])
    assert records == [{"sku": "1", "a": None, "b": "null", "c": "", "d": "--"}]


async def test_columns_without_a_name_get_one() -> None:
    assert await read("sku,name,\n1,Chai,\n") == [{"sku": "1", "name": "Chai", "column 3": None}]


async def test_rows_that_do_not_fit_are_kept_apart_and_shift_nothing() -> None:
    assert await read('sku,name,stock\n1,Chai,39\n7,Pavlova, Ltd.,5\n8,short\n9,"x" y,1\n10,Last,1') == [
        {"sku": "1", "name": "Chai", "stock": "39"},
        BadRecord("7,Pavlova, Ltd.,5", "line 3: expected 3 columns, got 4"),
        BadRecord("8,short", "line 4: expected 3 columns, got 2"),
        BadRecord('9,"x" y,1', "line 5: a quoted value goes on behind its closing quote"),
        {"sku": "10", "name": "Last", "stock": "1"},
    ]


async def test_a_header_alone_is_no_record_and_no_error() -> None:
    assert await read("sku,name\n") == await read("sku,name") == []


@pytest.mark.parametrize("body", ["", "\n\n", "   ", "chatter\n"])
async def test_a_file_without_a_header_is_tried_again(body: str) -> None:
    with pytest.raises(UnusableBodyError):
        await read(body, skip_rows=1 if body == "chatter\n" else 0)


@pytest.mark.parametrize(
    ("body", "more", "says", "hint"),
    [
        ("code,name\n1,Chai\n", {}, "no column 'sku'; its columns are 'code', 'name'", "id_column"),
        ("sku;name\n1;Chai\n", {}, "its columns are 'sku;name'", "delimiter"),
        ('{"error": 1}\n', {}, "no column 'sku'", "id_column"),
        ("sku,name,name,a,a\n1,2,3,4,5\n", {}, "columns twice: 'name', 'a'", "rename"),
        ("sku,,column 2\n1,2,3\n", {}, "columns twice: 'column 2'", "rename"),
        (",".join(f"c{n}" for n in range(30)) + "\n", {}, "'c19' and 10 more", ""),
        ("s\x1bku,name\n", {}, "'s?ku'", ""),
        (",".join(f"c{n}" for n in range(5001)) + "\n", {}, "5,001 columns", ""),
        ('"sku" x,name\n', {}, "header cannot be read", ""),
        (b"sku,name\n1,Caf\xe9\n", {}, "byte 0xE9 at position 14", "encoding"),
    ],
)
async def test_what_asking_again_cannot_mend(body: str | bytes, more: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        await read(body, **more)
    assert says in caught.value.message
    assert hint in caught.value.hint


async def test_a_file_that_ends_inside_quotes_is_tried_again() -> None:
    with pytest.raises(UnusableBodyError):
        await read('sku,name\n1,"Cha')


async def test_a_test_of_the_source_reads_a_sample_and_hangs_up() -> None:
    body = "sku,name\n" + "".join(f"{number},Chai\n" for number in range(100_000))
    client = FakeClient(body.encode(), piece=1000)
    assert await CONNECTOR.open(config(), client).check("inventory") == SAMPLE_ROWS
    assert client.sent <= 2000
    assert client.open == 0
    (request,) = client.requests
    assert (request.method, request.url) == ("GET", URL)

    few = FakeClient(b"sku,name\n1,Chai\n2\n")
    assert await CONNECTOR.open(config(), few).check("inventory") == 1
    with pytest.raises(DataError, match="no column"):
        await CONNECTOR.open(config(), FakeClient(b"code\n1\n")).check("inventory")


async def test_the_source_describes_itself() -> None:
    source = CONNECTOR.open(config(), FakeClient(b""))
    assert source.shape("inventory") == "spool"
    assert source.stable_paging("inventory")
    assert source.calls_per_page("inventory") == {"default": 1}
    with pytest.raises(ConfigurationError):
        await source.check("vendors")
