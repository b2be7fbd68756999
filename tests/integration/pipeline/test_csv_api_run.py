"""A CSV file's run from asking to rows, on the real Northwind files: every field is the file's."""

import csv
import io
from decimal import Decimal
from typing import Any, Literal

import pytest

from pipeline import Pipeline
from sandboxes.data.northwind_shop import csv_bytes
from sandboxes.files.app import build_app
from sandboxes.files.state import FilesState
from sandboxes.serving import running

MAPPINGS: dict[str, Any] = {
    "inventory": {
        "sku": "productID",
        "name": "productName",
        "description": "quantityPerUnit",
        "category": "categoryID",
        "status": {"path": "discontinued", "map": {"0": "active", "1": "inactive"}},
        "quantity_on_hand": "unitsInStock",
        "quantity_on_order": "unitsOnOrder",
        "reorder_point": "reorderLevel",
        "unit_price": "unitPrice",
        "preferred_vendor_id": "supplierID",
    },
    "vendors": {
        "name": "companyName",
        "contact_name": "contactName",
        "contact_phone": "phone",
        "address": "join(', ', [address, city, country])",
        "website": "homePage",
    },
}


def config(base: str, variant: str = "", **dialect: Any) -> dict[str, Any]:
    shared = {"null_values": ["", "NULL"]} | dialect
    return {
        "entities": {
            "inventory": {"url": f"{base}/products.csv{variant}", "id_column": "productID"} | shared,
            "vendors": {"url": f"{base}/suppliers.csv{variant}", "id_column": "supplierID"} | shared,
        }
    }


def lines(name: Literal["products", "suppliers"]) -> list[list[str]]:
    """The file's lines, read with nothing of ours."""
    return list(csv.reader(io.StringIO(csv_bytes(name).decode())))


def product(row: dict[str, Any]) -> list[str]:
    """A row of ours as a line of products.csv."""
    numbers = ("quantity_on_hand", "quantity_on_order", "reorder_point")
    return [
        row["sku"],
        row["name"],
        row["preferred_vendor_id"],
        row["category"],
        row["description"],
        f"{row['unit_price']:.2f}",
        *(str(row[name]) for name in numbers),
        {"active": "0", "inactive": "1"}[row["status"]],
    ]


@pytest.mark.parametrize(
    ("variant", "dialect"),
    [
        ("?crlf=1", {}),
        ("?delimiter=semicolon&decimal=comma&bom=1&skip=2", {"delimiter": ";", "decimal": ",", "skip_rows": 2}),
        ("?delimiter=tab&encoding=utf-16", {"delimiter": "\\t"}),
        ("?encoding=cp1252&quote=single", {"quotechar": "'", "encoding": "cp1252"}),
        ("?gzip=1&delimiter=pipe", {"delimiter": "|"}),
    ],
)
async def test_every_field_is_the_files(pipeline: Pipeline, variant: str, dialect: dict[str, Any]) -> None:
    async with running(build_app(FilesState.northwind())) as base:
        source = await pipeline.add_source(
            config(base, variant, **dialect), source_type="csv_api", field_mappings=MAPPINGS
        )

        run = await pipeline.sync(source)

        assert run.status == "succeeded", run
        assert {name: counters.inserted for name, counters in run.entities.items()} == {"inventory": 77, "vendors": 29}
        header, *expected = lines("products")
        assert len(header) == len(expected[0])
        found = sorted(await pipeline.rows("inventory", source), key=lambda row: int(row["external_id"]))
        assert [product(row) for row in found] == expected
        assert all(row["external_id"] == row["sku"] and isinstance(row["unit_price"], Decimal) for row in found)

        vendors = {row["external_id"]: row for row in await pipeline.rows("vendors", source)}
        # The file quotes nothing: lines of 12 columns hold no comma, and can be compared as they are.
        plain = [line for line in lines("suppliers")[1:] if len(line) == 12]
        assert len(plain) == 20
        for number, name, contact, _, street, city, _, _, country, phone, _, page in plain:
            row = vendors[number]
            assert (row["name"], row["contact_name"], row["contact_phone"]) == (name, contact, phone)
            assert row["address"] == f"{street}, {city}, {country}"
            assert row["website"] == (None if page == "NULL" else page)
        assert vendors["7"]["name"] == "Pavlova, Ltd."

        again = await pipeline.sync(source)
        assert again.status == "succeeded"
        assert {name: counters.unchanged for name, counters in again.entities.items()} == {
            "inventory": 77,
            "vendors": 29,
        }


async def test_lines_with_commas_that_nobody_quoted_are_kept_apart(pipeline: Pipeline) -> None:
    async with running(build_app(FilesState.northwind())) as base:
        source = await pipeline.add_source(config(base), source_type="csv_api", field_mappings=MAPPINGS)

        run = await pipeline.sync(source)

        assert run.status == "partial"
        assert run.entities["inventory"].status == "succeeded"
        vendors = run.entities["vendors"]
        assert (vendors.read, vendors.inserted, vendors.quarantined) == (29, 20, 9)
        odd = [",".join(line) for line in lines("suppliers")[1:] if len(line) != 12]
        kept = await pipeline.admin.fetch("select raw, reason, external_id from quarantined_records order by raw")
        assert sorted(f'"{line}"' for line in odd) == [row["raw"] for row in kept]
        assert all("expected 12 columns, got 13" in row["reason"] and row["external_id"] is None for row in kept)


async def test_a_filter_counts_what_it_leaves_out(pipeline: Pipeline) -> None:
    async with running(build_app(FilesState.northwind())) as base:
        whole = config(base, filter="discontinued == '0'")
        source = await pipeline.add_source(
            {"entities": {"inventory": whole["entities"]["inventory"]}}, source_type="csv_api", field_mappings=MAPPINGS
        )
        counters = (await pipeline.sync(source)).entities["inventory"]
        kept = sum(line[9] == "0" for line in lines("products")[1:])
        assert (counters.inserted, counters.filtered) == (kept, 77 - kept)
