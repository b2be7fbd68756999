"""What a read makes of answers: proof that they are whole, the order of ids, conditions that are refused."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.connector_sdk.protocol import OnHeaders, Page, ReadRequest, Request, Response, WholeReadNeededError
from shared.connectors.quickbooks.faults import judge
from shared.connectors.quickbooks.source import CONNECTOR
from shared.contracts.ids import Entity
from shared.errors import DataError, HeadraceError, UnusableBodyError

SINCE = datetime(2026, 5, 1, tzinfo=UTC)


class Answers:
    """A client that gives these answers in turn, and keeps what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        params = dict(request.params)
        self.asked.append(params.get("query") or params["entities"])
        body = json.dumps(self.answers.pop(0)).encode()
        error = judge(400 if b'"Fault"' in body else 200, {}, body)
        if error is not None:
            raise error
        return Response(200, {"content-type": "application/json"}, body, request.url)

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        raise AssertionError(f"{request.url} is not streamed {on_headers}")
        yield b""


def found(table: str, *ids: str, total: int | None = None, **fields: Any) -> dict[str, Any]:
    response: dict[str, Any] = {table: [{"Id": one, **fields} for one in ids], "maxResults": len(ids)}
    if total is not None:
        response["totalCount"] = total
    return {"QueryResponse": response if ids else {}, "time": "2026-05-20T10:03:11.042-07:00"}


class Sorting(Answers):
    """A client of a vendor that has these ids in this order, and compares them in its own way."""

    def __init__(self, ids: Sequence[str], compared: Callable[[str], Any]) -> None:
        super().__init__()
        self._ids, self._compared = ids, compared
        self.calls = 0

    async def send(self, request: Request) -> Response:
        self.calls += 1
        query = dict(request.params)["query"]
        behind, start = re.search(r"Id > '(\w+)'", query), re.search(r"STARTPOSITION (\d+)", query)
        assert start is not None
        ids = [one for one in self._ids if behind is None or self._compared(one) > self._compared(behind[1])]
        self.answers = [found("Vendor", *ids[int(start[1]) - 1 :][:1_000])]
        return await super().send(request)


def fault(code: str) -> dict[str, Any]:
    return {"Fault": {"Error": [{"code": code}], "type": "ValidationFault"}}


async def read(client: Answers, entity: Entity, cursor: str | None = None, since: datetime | None = None) -> Page:
    source = CONNECTOR.open({"client_id": "a", "realm_id": "1"}, client)
    return await source.read_page(ReadRequest(entity, since), cursor)


async def read_ids(client: Answers, ids: tuple[str, ...], cursor: int | None = None) -> Page:
    source = CONNECTOR.open({"client_id": "a", "realm_id": "1"}, client)
    return await source.read_page(ReadRequest("purchase_orders", None, ids), cursor)


async def test_a_page_that_was_cut_by_the_vendor_is_not_the_last() -> None:
    page = await read(Answers(found("Vendor", "1", "2", total=5)), "vendors")
    assert page.next_cursor == "all:2:2"
    assert page.changed_until == datetime(2026, 5, 20, 17, 3, 11, 42_000, UTC)
    assert (await read(Answers(found("Vendor", "3", total=1)), "vendors", "all:2:2")).next_cursor is None


async def test_a_full_page_is_never_the_last_whatever_its_total_counts() -> None:
    full = [str(number) for number in range(1, 1_001)]
    assert (await read(Answers(found("Vendor", *full, total=1_000)), "vendors")).next_cursor == "all:1000:1000"
    assert (await read(Answers(found("Vendor")), "vendors", "all:1000:1000")).next_cursor is None


FULL = [str(number) for number in range(1, 1_001)]


LETTERS = [f"v{number:04}" for number in range(1_000)]


@pytest.mark.parametrize(
    ("ids", "cursor"),
    [
        (FULL, "all:1000:1000"),
        (LETTERS, "all:1000:v0999"),
        (sorted(FULL), "all:1000@999"),  # whoever sorts numbers as letters may compare them as numbers
        (FULL[::-1], "all:1000@1"),
    ],
    ids=["numbers", "letters", "numbers as letters", "backwards"],
)
async def test_ids_lead_on_as_what_they_look_like_else_the_position_does(ids: list[str], cursor: str) -> None:
    client = Answers(found("Vendor", *ids), found("Vendor", ids[-1]))
    first = await read(client, "vendors")
    assert first.next_cursor == cursor
    if "@" in cursor:
        await read(client, "vendors", cursor)
        assert "STARTPOSITION 901 " in client.asked[1]
        assert "Id >" not in client.asked[1]


async def test_a_cursor_of_the_release_before_is_an_id() -> None:
    client = Answers(found("Vendor", "5231"))
    assert (await read(client, "vendors", "all:5230")).next_cursor is None
    assert "Id > '5230'" in client.asked[0]
    client = Answers(found("Vendor", "7"), found("Vendor", *FULL))
    assert (await read(client, "vendors", "all:5230")).next_cursor == "all:1000@1000", "from the start, by position"
    assert "STARTPOSITION 1 " in client.asked[1]


@pytest.mark.parametrize("compared", [int, str], ids=["numbers", "letters"])
@pytest.mark.parametrize("ordered", [int, str], ids=["by number", "by letter"])
async def test_every_record_is_read_however_ids_are_sorted_and_compared(ordered: Any, compared: Any) -> None:
    everything = [str(number) for number in range(1, 2_501)]
    client = Sorting(sorted(everything, key=ordered), compared)
    cursor, seen = None, set()
    while True:
        page = await read(client, "vendors", cursor)
        seen |= {record["Id"] for record in page.records}
        cursor = page.next_cursor
        if cursor is None:
            break
        assert client.calls < 20
    assert seen == set(everything)


@pytest.mark.parametrize("ids", [("2", "1"), ("10", "9"), ("1", "10", "2")])
async def test_the_order_of_what_is_all_does_not_matter(ids: tuple[str, ...]) -> None:
    page = await read(Answers(found("PurchaseOrder", *ids)), "purchase_orders")
    assert (len(page.records), page.next_cursor) == (len(ids), None)


@pytest.mark.parametrize("again", [FULL, ["999", "1001"]])
async def test_where_an_id_leads_back_the_page_is_read_by_position(again: list[str]) -> None:
    """The vendor leaves `Id >` out, or sorts in one way and compares in another."""
    rest = [str(number) for number in range(901, 1_003)]
    client = Answers(found("Vendor", *again), found("Vendor", *rest))
    page = await read(client, "vendors", "all:1000:1000")
    assert ([record["Id"] for record in page.records], page.next_cursor) == (rest, None)
    assert ["Id > '1000'" in one for one in client.asked] == [True, False]
    assert "STARTPOSITION 901 MAXRESULTS 1000" in client.asked[1]


async def test_pages_by_position_go_on_so_and_must_get_on() -> None:
    page = await read(Answers(found("Vendor", *FULL)), "vendors", "all:2000@77")
    assert page.next_cursor == "all:2900@1000"
    cut = await read(Answers(found("Vendor", *FULL[:150], total=2_100)), "vendors", "all:2000@77")
    assert cut.next_cursor == "all:2050@150"
    last = await read(Answers(found("Vendor", *FULL[:150], total=2_050)), "vendors", "all:2000@77")
    assert last.next_cursor is None
    with pytest.raises(DataError, match="again and again"):
        await read(Answers(found("Vendor", *FULL[:100], total=9_999)), "vendors", "all:2000@77")


@pytest.mark.parametrize("ids", [FULL, ()], ids=["others", "none"])
async def test_records_that_moved_further_than_pages_overlap_end_the_read(ids: Sequence[str]) -> None:
    with pytest.raises(DataError, match="moved"):
        await read(Answers(found("Vendor", *ids)), "vendors", "all:2000@1001")


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"time": "2026-05-20T10:03:11.042-07:00"},
        {"QueryResponse": None},
        {"QueryResponse": {"Vendor": {}}},
        {"QueryResponse": {"Vendor": [1]}},
        {"QueryResponse": {"Vendor": [{"Id": "1"}], "maxResults": 2}},
    ],
)
async def test_what_is_no_whole_answer_is_not_no_data(body: Any) -> None:
    with pytest.raises(UnusableBodyError):
        await read(Answers(body), "vendors")


async def test_a_record_without_an_id_stops_the_read() -> None:
    with pytest.raises(DataError, match="without an Id"):
        await read(Answers({"QueryResponse": {"Vendor": [{"Id": 7}]}}), "vendors")


async def test_a_condition_that_is_not_filtered_by_is_left_out() -> None:
    client = Answers(
        fault("4001"),
        found("Item", "1", Type="Inventory"),
        fault("4001"),
        found("PurchaseOrder", "5", POStatus="Closed"),
    )
    page = await read(client, "inventory")
    assert [record["QtyOnOrder"] for record in page.records] == [0]
    assert ["Type IN" in one or "POStatus" in one for one in client.asked] == [True, False, True, False]


async def test_a_refusal_of_the_plain_statement_is_one() -> None:
    with pytest.raises(HeadraceError, match="code 4001"):
        await read(Answers(fault("4001"), fault("4001")), "inventory")


@pytest.mark.parametrize("code", ["500", "2010", "4000"])
async def test_changes_that_cannot_be_told_are_read_another_way(code: str) -> None:
    client = Answers(fault(code), found("Vendor", "1"))
    assert len((await read(client, "vendors", since=SINCE)).records) == 1
    assert "LastUpdatedTime >= '2026-05-01T00:00:00+00:00'" in client.asked[1]
    with pytest.raises(WholeReadNeededError):
        await read(Answers(fault(code)), "purchase_orders", since=SINCE)


async def test_a_full_answer_of_changes_proves_nothing() -> None:
    many = {"Vendor": [{"Id": str(number)} for number in range(1, 1_001)]}
    client = Answers({"CDCResponse": [{"QueryResponse": [many]}]}, found("Vendor", "1"))
    assert len((await read(client, "vendors", since=SINCE)).records) == 1


async def test_changes_with_one_answer_too_few_are_no_answer() -> None:
    with pytest.raises(UnusableBodyError):
        await read(Answers({"CDCResponse": [{"QueryResponse": [{}]}]}), "inventory", since=SINCE)


async def test_terms_without_a_name_are_looked_up_once() -> None:
    vendors = found("Vendor", "1", "2", TermRef={"value": "3"})
    client = Answers(vendors, {"QueryResponse": {"Term": [{"Id": "3", "Name": "Net 30"}]}})
    page = await read(client, "vendors")
    assert [record["TermRef"]["name"] for record in page.records] == ["Net 30", "Net 30"]
    assert len(client.asked) == 2


async def test_ids_are_asked_for_fifty_at_once_and_what_is_not_found_is_gone() -> None:
    ids = tuple(str(number) for number in range(1, 71))
    client = Answers(found("PurchaseOrder", *ids[:49]), found("PurchaseOrder"))
    first = await read_ids(client, ids)
    assert (len(first.records), first.deletions, first.next_cursor) == (49, ("50",), 50)
    assert first.changed_until is None, "a few ids say nothing about the changes of others"
    last = await read_ids(client, ids, 50)
    assert (last.records, last.deletions, last.next_cursor) == ([], ids[50:], None)
    assert [statement.count("'") for statement in client.asked] == [100, 40]


async def test_an_id_stays_a_value_of_the_statement() -> None:
    client = Answers(found("PurchaseOrder"))
    assert (await read_ids(client, ("1') OR ('1",))).deletions == ("1') OR ('1",)
    assert "Id IN ('1\\') OR (\\'1')" in client.asked[0]


async def test_records_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(DataError, match="not asked for"):
        await read_ids(Answers(found("PurchaseOrder", "1", "2")), ("1",))
