"""The Reporting API of the Finale sandbox, with what makes its answers hard to read."""

import base64
import csv
import io
import json
from decimal import Decimal

import pytest
from finale_client import Client, serving, small_shop

from sandboxes.finale.generated import Size, filling
from sandboxes.finale.spoils import Spoil, SpoilKind
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches


def address(data: str, fmt: str = "csv", kind: str = "pivotTable", **more: str) -> str:
    extension = "csv" if fmt == "csv" else "json"
    query = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/acme/doc/report/{kind}/1717171717171/Report.{extension}?format={fmt}&data={data}&rowDimensions=~gA{query}"


async def table(client: Client, path: str) -> list[list[str]]:
    answer = await client.call("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.body.decode(), newline="")))


def shop_with_stock() -> FinaleState:
    shop = small_shop()
    shop.state.add_stock(shop.bolt, shop.bins[0], Decimal("1234.50"))
    shop.state.add_stock(shop.bolt, shop.bins[1], 2)
    shop.state.deactivate_product(shop.kit)
    url = shop.order((shop.bolt, 5000, Decimal("0.221")), (shop.kit, 1, 3), orderDate="2026-05-01T00:00:00")
    shop.state.act(url, "lock")
    return shop.state


async def test_the_traps_of_the_product_report_as_csv() -> None:
    async with serving(shop_with_stock()) as client:
        body = (await client.call("GET", address("product"))).body
        assert body.count(b"\r\n") == 3
        assert b'"Units\nQoH"' in body  # a line feed within a header, quoted
        assert b'"1,236.50"' in body
        header, bolt, kit = await table(client, address("product"))
        assert header.count("Supplier 1") == 2
        row = dict(zip(header, bolt, strict=True))
        assert (row["Product ID"], row["Units\nQoH"], row["Units on order"]) == ("BOLT-1", "1,236.50", "5,000")
        assert (row["Supplier 1 price"], row["Reorder point"]) == ("0.21", "1,500")
        assert kit[:5] == ["KIT 9/ä", "Shelf kit", "Inactive", "--", "--"]


async def test_several_prices_roll_up_to_various() -> None:
    async with serving(FinaleState(filling(Size(products=50)))) as client:
        header, *rows = await table(client, address("product"))
        assert "Various" in {row[header.index("Supplier 1 price")] for row in rows}


async def test_groups_have_header_rows_blanks_and_totals() -> None:
    async with serving(shop_with_stock()) as client:
        assert await table(client, address("stock")) == [
            ["Sublocation", "Product ID", "Lot ID", "Units\nQoH"],
            ["M-01", "", "", ""],
            ["", "BOLT-1", "--", "1,234.50"],
            ["TOTAL: M-01", "", "", "1,234.50"],
            ["M-02", "", "", ""],
            ["", "BOLT-1", "--", "2"],
            ["TOTAL: M-02", "", "", "2"],
            ["TOTAL:", "", "", "1,236.50"],
        ]


async def test_orders_are_parent_rows_with_children() -> None:
    async with serving(shop_with_stock()) as client:
        header, parent, *children = await table(client, address("order"))
        assert parent == ["10001", "Committed", "5/1/2026", "", "", "", "1,108.000"]
        assert children == [
            ["", "", "", "BOLT-1", "5,000", "0.221", "1,105.000"],
            ["", "", "", "KIT 9/ä", "1", "3", "3"],
        ]
        assert header[0] == "Order ID"


async def test_parties_have_numbered_columns() -> None:
    async with serving(FinaleState(filling(Size(products=20)))) as client:
        header, *rows = await table(client, address("party", filters=packed([["partyRole", ["SUPPLIER"], None]])))
        assert header[:2] == ["Name", "Email address 0"]
        assert len(rows) == 60
        assert rows[1][1] == "orders2@supplier.example"


def packed(filters: object) -> str:
    return base64.b64encode(json.dumps(filters).encode()).decode()


async def test_filters_are_triples() -> None:
    async with serving(shop_with_stock()) as client:
        text = "W1sicHJvZHVjdFN0YXR1cyIsWyJQUk9EVUNUX0FDVElWRSJdLG51bGxdXQ=="
        assert [row[0] for row in await table(client, address("product", filters=text))] == ["Product ID", "BOLT-1"]
        empty = packed([["productStatus", [], None], ["other", {"duration": "day", "offset": -30}, None]])
        assert len(await table(client, address("product", filters=empty))) == 3
        for bad in ("%25", packed({"productStatus": []}), packed([["x"]])):
            assert (await client.call("GET", address("product", filters=bad))).status == 400


async def test_json_objects_are_keyed_by_the_header_and_hold_numbers() -> None:
    async with serving(shop_with_stock()) as client:
        answer = await client.call("GET", address("product", "jsonObject"))
        bolt, kit = answer.json
        assert bolt["Units\nQoH"] == Decimal("1236.50")
        assert b'"Units\\nQoH":1236.50' in answer.body
        assert (kit["Units\nQoH"], kit["Units on order"], kit["Reorder point"]) == (0, 1, None)
        assert len(bolt) == 12  # one of the two columns of the same name is lost
        rows = await client.get(address("product", "json"))
        assert rows[0][0] == "Product ID"
        assert len(rows[1]) == 13


async def test_lines_before_the_header_and_a_byte_order_mark_by_switch() -> None:
    state = shop_with_stock()
    state.switches = Switches(report_lines_before_header=True, report_bom=True)
    async with serving(state) as client:
        body = (await client.call("GET", address("product"))).body
        assert body.startswith(b"\xef\xbb\xbfInventory report\r\n")
        assert (await table(client, address("product")))[3][0] == "Product ID"


async def test_columns_are_their_owners_choice() -> None:
    state = shop_with_stock()
    state.switches = Switches(report_columns_left_out=frozenset({"Units\nQoH", "Supplier 1"}))
    async with serving(state) as client:
        header, bolt, _ = await table(client, address("product"))
        assert "Units\nQoH" not in header
        assert "Supplier 1" not in header
        assert len(bolt) == len(header) == 10
        assert "Units in stock" in (await client.get(address("product", "jsonObject")))[0]


@pytest.mark.parametrize(("kind", "rows"), [("empty_report", 0), ("cut_report", 4)])
async def test_a_report_that_lacks_rows_is_whole_as_a_body(kind: SpoilKind, rows: int) -> None:
    state = FinaleState(filling(Size(products=6, vendors=2, customers=0, purchase_orders=0, sales_orders=0)))
    state.spoils.set(Spoil(kind=kind, path="/acme/doc/report"))
    async with serving(state) as client:
        assert len(await client.get(address("product", "jsonObject"))) == rows
        header, *kept = await table(client, address("product"))
        assert header[0] == "Product ID"
        assert len(kept) == max(0, rows - 1)  # the header counts as a row there


async def test_the_stream_address_is_a_page() -> None:
    async with serving(shop_with_stock()) as client:
        answer = await client.call("GET", address("product", kind="pivotTableStream"))
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (address("nothing"), 400),
        (address("product").replace("format=csv", "format=json"), 400),
        (address("product").replace("format=csv", "format=pdf"), 400),
        (address("product", kind="other"), 404),
        (address("product").replace("Report.csv", "Report.exe"), 404),
        (address("product").replace("/1717171717171", "/now"), 404),
    ],
)
async def test_what_is_no_report(path: str, status: int) -> None:
    async with serving(shop_with_stock()) as client:
        assert (await client.call("GET", path)).status == status
