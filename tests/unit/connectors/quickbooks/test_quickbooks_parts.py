"""The pure parts: statements, faults, sums of what is on order, configuration, default mapping."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.transformer.engine import compile_mapping
from shared.connectors.quickbooks.config import QuickBooksConfig
from shared.connectors.quickbooks.faults import fault_in, judge
from shared.connectors.quickbooks.mapping import entity_mapping
from shared.connectors.quickbooks.on_order import OnOrder
from shared.connectors.quickbooks.spec import SPEC
from shared.connectors.quickbooks.statement import moment, select
from shared.connectors.quickbooks.walk import Place
from shared.contracts.ids import Entity
from shared.contracts.records import FIELDS, LINE_FIELDS
from shared.errors import AuthenticationError, DataError, RateLimitedError, UnavailableError

CONFIG = {"client_id": "app", "realm_id": "913"}


def mapped(entity: Entity, record: dict[str, Any]) -> dict[str, Any]:
    """The one row that the default mapping makes of a record; lines as dictionaries."""
    result = compile_mapping(entity, entity_mapping(entity, {})).apply([{"Id": "1", **record}])
    assert result.rejects == [], result.rejects
    row = result.rows[0]
    values: dict[str, Any] = dict(zip((field.name for field in FIELDS[entity]), row.cells, strict=True))
    if row.lines is not None:
        names = [field.name for field in LINE_FIELDS]
        values["lines"] = [dict(zip(names, line, strict=True)) for line in row.lines]
    return values


def test_a_statement_walks_by_id_and_asks_for_inactive_records_too() -> None:
    assert select("PurchaseOrder") == "SELECT * FROM PurchaseOrder ORDERBY Id STARTPOSITION 1 MAXRESULTS 1000"
    since = datetime(2026, 5, 1, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert select("Vendor", place=Place(1, "7"), since=since, size=5) == (
        "SELECT * FROM Vendor WHERE Active IN (true, false) "
        "AND MetaData.LastUpdatedTime >= '2026-05-01T00:00:00+00:00' AND Id > '7' "
        "ORDERBY Id STARTPOSITION 1 MAXRESULTS 5"
    )


def test_a_quote_in_an_id_ends_no_text() -> None:
    assert r"Id > 'a\'b\\'" in select("Item", place=Place(1, "a'b\\"))


def test_a_time_is_cut_to_the_second_before_it() -> None:
    assert moment(datetime(2026, 5, 1, 0, 0, 0, 1, tzinfo=UTC)) == "2026-05-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "body",
    [
        b'{"QueryResponse":{"Item":[{"Id":"1","Name":"Fault"}]}}',
        b'{"QueryResponse":{"Item":[{"Id":"1","Description":"a \\"fault\\" in it"}]}}',
        b'{"Fault":null,"QueryResponse":{}}',
        b"<html><body>no fault here</body></html>",
        b'{"Fault":{"Error":[',
        b"",
    ],
)
def test_what_only_looks_like_a_fault_is_none(body: bytes) -> None:
    assert fault_in(body, "application/json") is None
    assert judge(200, {}, body) is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"Fault":{"Error":[{"code":"610"}],"type":"ValidationFault"}}', DataError),
        (401, b'{"fault":{"error":[{"code":"003200"}],"type":"AUTHENTICATION"}}', AuthenticationError),
        (401, b'{"fault":{"error":[],"type":"AUTHENTICATION"}}', AuthenticationError),
        (403, b'{"Fault":{"Error":[{"code":"9999"}]}}', AuthenticationError),
        (400, b'{"Fault":{"Error":[{"code":"20001"}]}}', UnavailableError),
        (500, b'{"Fault":{"Error":[{"code":"x"}]}}', UnavailableError),
        (403, b'<?xml version="1.0"?><R><Fault><Error code="3001"/></Fault></R>', RateLimitedError),
        (400, b'{"Fault":{"Error":[{"Message":"message=ThrottleExceeded","code":"0"}]}}', RateLimitedError),
        (429, b"", RateLimitedError),
        (429, b"<html>", RateLimitedError),
    ],
)
def test_faults_of_all_forms(status: int, body: bytes, kind: type[Exception]) -> None:
    error = judge(status, {"content-type": "application/json", "intuit_tid": "1-abc"}, body)
    assert isinstance(error, kind), error
    if isinstance(error, RateLimitedError):
        assert error.retry_after is None, "the client reads the header"
    else:
        assert "1-abc" in error.message


def test_an_odd_trace_id_is_not_shown() -> None:
    error = judge(400, {"intuit_tid": "<script>"}, b'{"Fault":{"Error":[{"code":"610"}]}}')
    assert error is not None
    assert "script" not in error.message


def order(*lines: dict[str, Any], status: str = "Open", number: str = "9") -> dict[str, Any]:
    return {"Id": number, "POStatus": status, "Line": list(lines)}


def line(item: str, quantity: Any, received: Any = None) -> dict[str, Any]:
    detail = {"ItemRef": {"value": item}, "Qty": quantity}
    return {"ItemBasedExpenseLineDetail": detail} | ({} if received is None else {"Received": received})


def test_what_is_due_is_summed_exactly_over_open_orders() -> None:
    due = OnOrder()
    due.add([order(line("1", 10, 4), line("2", Decimal("0.1")), line("1", Decimal("1E-31")))])
    due.add([order(line("2", Decimal("0.2")), number="10"), order(line("1", 99), status="Closed", number="11")])
    texts = order({"AccountBasedExpenseLineDetail": {}}, {"ItemBasedExpenseLineDetail": {}}, number="12")
    due.add([texts, {"Id": "3"}, order(line("2", Decimal("0.2")), number="10")])  # that page overlaps the one before
    assert due.of("1") == Decimal("6.0000000000000000000000000000001")
    assert due.of("2") == Decimal("0.3")
    assert due.of("3") == 0


def test_more_than_was_ordered_leaves_nothing_due_and_takes_nothing_from_others() -> None:
    due = OnOrder()
    due.add([order(line("1", 5, 8), line("1", 2))])
    assert due.of("1") == 2


@pytest.mark.parametrize("quantity", ["5", None, True])
def test_a_quantity_that_is_no_number_names_its_order(quantity: Any) -> None:
    with pytest.raises(DataError, match="purchase order 9: Qty"):
        OnOrder().add([order(line("1", quantity))])


@pytest.mark.parametrize(
    ("lines", "status", "becomes"),
    [
        ([], "Open", "submitted"),
        ([line("1", 5)], "Open", "submitted"),
        ([line("1", 5, 0)], "Open", "submitted"),
        ([line("1", 5, 2)], "Open", "partially_received"),
        ([line("1", 5, 5), line("2", 1)], "Open", "partially_received"),
        ([line("1", 5, 5)], "Open", "submitted"),
        ([line("1", 5, Decimal("4.5"))], "Open", "partially_received"),
        ([line("1", 5)], "Closed", "received"),
        ([{"Received": 3}], "Open", "submitted"),
    ],
)
def test_the_status_of_an_order(lines: list[dict[str, Any]], status: str, becomes: str) -> None:
    assert mapped("purchase_orders", {"POStatus": status, "Line": lines})["status"] == becomes


def test_an_order_without_anything_optional_is_a_row() -> None:
    row = mapped("purchase_orders", {"TotalAmt": Decimal("1.10")})
    assert (row["order_number"], row["total"], row["lines"], row["notes"]) == ("QBO-1", "1.10", [], None)


def test_lines_are_numbered_by_their_place_and_keep_what_has_no_item() -> None:
    account = {"LineNum": 1, "Amount": Decimal("7.50"), "Description": "freight", "AccountBasedExpenseLineDetail": {}}
    row = mapped("purchase_orders", {"Line": [account, {**line("4", 2), "LineNum": 1, "Amount": 3}]})
    assert [(one["line_number"], one["item_id"], one["line_total"]) for one in row["lines"]] == [
        ("1", None, "7.50"),
        ("2", "4", "3"),
    ]
    assert row["subtotal"] == "10.50"


def test_the_notes_of_an_order_are_lines() -> None:
    both = mapped("purchase_orders", {"PrivateNote": "ours", "Memo": "to the vendor"})
    assert both["notes"] == "ours\nto the vendor"
    assert mapped("purchase_orders", {"PrivateNote": "", "Memo": "to the vendor"})["notes"] == "to the vendor"


def test_names_and_addresses_are_joined_from_what_is_there() -> None:
    row = mapped(
        "vendors",
        {
            "DisplayName": "Bolt Works",
            "GivenName": "A",
            "FamilyName": "B",
            "Mobile": {"FreeFormNumber": "1"},
            "BillAddr": {"Line1": "1 Way", "City": "Leeds", "Country": "GBR"},
            "Active": False,
        },
    )
    assert (row["contact_name"], row["address"], row["contact_phone"]) == ("A B", "1 Way, Leeds, GBR", "1")
    assert row["status"] == "inactive"
    assert mapped("vendors", {"DisplayName": "Bare"})["address"] is None


def test_an_items_zero_is_a_value_and_its_name_stands_in_for_a_missing_sku() -> None:
    row = mapped("inventory", {"Name": "Bolt", "Type": "Inventory", "QtyOnHand": 0, "QtyOnOrder": Decimal("2.5")})
    assert (row["sku"], row["quantity_on_hand"], row["quantity_on_order"], row["status"]) == (
        "Bolt",
        "0",
        "2.5",
        "active",
    )


@pytest.mark.parametrize("kind", ["Service", "Group", "Category"])
def test_what_is_no_goods_is_filtered(kind: str) -> None:
    result = compile_mapping("inventory", entity_mapping("inventory", {})).apply(
        [{"Id": "1", "Name": "x", "Type": kind}]
    )
    assert (result.filtered, result.rows) == (1, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"realm_id": "abc"},
        {"realm_id": ""},
        {"environment": "live"},
        {"client_id": ""},
        {"client_id": "a:b"},
        {"base_url": "ftp://x"},
        {"base_url": "https://x/?a=1"},
        {"token_url": "https://u:p@x/"},
        {"unknown": 1},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuickBooksConfig.model_validate({**CONFIG, **wrong})


def test_the_company_is_the_account_and_both_addresses_are_origins() -> None:
    assert SPEC.account(CONFIG, "any") == "https://quickbooks.api.intuit.com:443|913"
    assert SPEC.account({**CONFIG, "environment": "sandbox"}, "") != SPEC.account(CONFIG, "")
    assert set(SPEC.origins(CONFIG)) <= (SPEC.vendor_origins or set())
    assert len(SPEC.origins(CONFIG)) == 2
    assert SPEC.oauth is not None
    assert SPEC.oauth({"client_id": "app"}).account == ""


def test_credentials_need_a_secret_and_show_nothing() -> None:
    parsed = SPEC.credentials.validate_python({"client_secret": "s3cret", "refresh_token": "RT1-x"})
    assert "s3cret" not in repr(parsed)
    assert "RT1" not in repr(parsed)
    with pytest.raises(ValidationError) as caught:
        SPEC.credentials.validate_python({"client_secret": ["s3cret"]})
    assert "s3cret" not in str(caught.value)
