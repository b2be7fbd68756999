"""Every field of every row against the company's own records: after a full read, and after edits of all kinds."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from company_rig import CompanyRig, running_company

from pipeline import Pipeline
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState

SMALL = Size(120, 12, 60)
SOAK = Size(7_800, 300, 2_000)


def differences(found: dict[str, Any], wanted: dict[str, Any], *, stamps: bool = False) -> list[str]:
    """What is not as it must be, a line for each field.

    `stamps`: the change times too. A change of what no field holds moves the vendor's stamp, and is no change of a row.
    """
    wrong = []
    for entity, rows in wanted.items():
        wrong += [f"{entity}: {sorted(set(found[entity]) ^ set(rows))[:10]} are not in both"] * (
            set(found[entity]) != set(rows)
        )
        for key in set(rows) & set(found[entity]):
            unequal = set(rows[key]) ^ set(found[entity][key])
            wrong += [f"{entity} {key}: {sorted(unequal)} is compared to nothing"] * bool(unequal)
            wrong += [
                f"{entity} {key} {name}: {found[entity][key].get(name)!r} is not {value!r}"
                for name, value in rows[key].items()
                if found[entity][key].get(name, ...) != value and (stamps or name != "source_updated_at")
            ]
    return wrong[:20]


@pytest.mark.parametrize("size", [SMALL, pytest.param(SOAK, marks=pytest.mark.soak)])
@pytest.mark.timeout(600)
async def test_a_first_sync_brings_every_field_and_the_second_changes_none(pipeline: Pipeline, size: Size) -> None:
    async with running_company(pipeline, size, still=True) as company:
        first = await company.sync(within=300)

        assert first.status == "succeeded", first
        truth = company.truth()
        for entity, rows in truth.items():
            view = first.entities[entity]
            assert (view.inserted, view.read - view.filtered) == (len(rows), len(rows)), view
        assert differences(await company.tables(), truth, stamps=True) == []

        second = await company.sync(mode="full", within=300)
        third = await company.sync(within=300)

        for run in (second, third):
            assert run.status == "succeeded", run
            assert all(view.inserted == view.updated == view.deleted == 0 for view in run.entities.values()), run
        assert differences(await company.tables(), truth, stamps=True) == []


@pytest.mark.parametrize(
    ("edits", "rounds"), [(200, 1), (20, 5), pytest.param(200, 20, marks=pytest.mark.soak)], ids=["200", "5x20", "soak"]
)
@pytest.mark.timeout(600)
async def test_incremental_runs_after_random_edits_give_what_a_full_read_gives(
    pipeline: Pipeline, edits: int, rounds: int
) -> None:
    async with running_company(pipeline, SMALL, still=True, duplicate_doc_number="allow") as company:
        assert (await company.sync()).status == "succeeded"
        company.state.clock.advance(3600)
        draw = random.Random(7)
        for _ in range(rounds):
            for _ in range(edits):
                edit(company.state, draw)
                company.state.clock.advance(draw.choice((0, 1, 2)))

            run = await company.sync(within=60)

            assert run.status == "succeeded", run
            assert differences(await company.tables(), company.truth()) == []
            company.state.clock.advance(60)
        fresh = await company.another_source()
        assert (await pipeline.sync(fresh, within=60)).status == "succeeded"
        assert differences(await company.tables(), await company.tables(fresh)) == []


def edit(state: QuickBooksState, draw: random.Random) -> None:
    """One change by somebody in the company."""
    items, vendors = state.records("Item"), state.records("Vendor")
    orders = state.records("PurchaseOrder")
    match draw.choice(
        ["item", "vendor", "order", "lines", "close", "receive", "hide", "show", "delete", "merge", "new"]
    ):
        case "item":
            cost = Decimal(draw.randrange(1, 10**7)).scaleb(-4)
            state.change("Item", draw.choice(items)["Id"], {"PurchaseCost": cost, "QtyOnHand": draw.randrange(-5, 900)})
        case "vendor":
            state.change("Vendor", draw.choice(vendors)["Id"], {"PrimaryPhone": {"FreeFormNumber": str(draw.random())}})
        case "order":
            state.change("PurchaseOrder", draw.choice(orders)["Id"], {"DueDate": f"2026-0{draw.randrange(1, 9)}-11"})
        case "lines":
            order = draw.choice(orders)
            lines = order["Line"][1:] or [a_line(draw, items)]
            state.change("PurchaseOrder", order["Id"], {"Line": [*lines, a_line(draw, items)][:4]})
        case "close":
            state.change("PurchaseOrder", draw.choice(orders)["Id"], {"POStatus": draw.choice(["Open", "Closed"])})
        case "receive":
            order = draw.choice(orders)
            state.receive(order["Id"], draw.choice(order["Line"])["Id"], Decimal("1.5"))
        case "hide":
            entity = draw.choice(["Item", "Vendor"])
            state.deactivate(entity, draw.choice(state.records(entity))["Id"])
        case "show":
            entity = draw.choice(["Item", "Vendor"])
            state.change(entity, draw.choice(state.records(entity))["Id"], {"Active": True})
        case "delete":
            state.delete("PurchaseOrder", draw.choice(orders)["Id"])
        case "merge":
            kept, gone = draw.sample([vendor["Id"] for vendor in vendors], 2)
            state.merge("Vendor", kept, gone)
        case "new":
            vendor = draw.choice([vendor["Id"] for vendor in vendors if vendor["Active"]] or [new_vendor(state, draw)])
            items = [item for item in items if item["Active"] and item["Type"] == "Inventory"]
            order = {"VendorRef": {"value": vendor}, "APAccountRef": {"value": "4"}}
            state.create("PurchaseOrder", {**order, "TxnDate": "2026-05-20", "Line": [a_line(draw, items)]})
            new_vendor(state, draw)
            state.create("Item", {"Name": f"Newly made {draw.random()}", "Type": "NonInventory", **ACCOUNTS})


def new_vendor(state: QuickBooksState, draw: random.Random) -> str:
    return state.create("Vendor", {"DisplayName": f"Newly met {draw.random()}"})


ACCOUNTS = {"IncomeAccountRef": {"value": "1"}, "ExpenseAccountRef": {"value": "2"}}


def a_line(draw: random.Random, items: list[dict[str, Any]]) -> dict[str, Any]:
    quantity, cost = draw.randrange(1, 50), Decimal(draw.randrange(1, 999)).scaleb(-2)
    detail = {"ItemRef": {"value": draw.choice(items)["Id"]}, "Qty": quantity, "UnitPrice": cost}
    return {
        "Id": str(draw.randrange(100, 10**6)),
        "LineNum": 1,
        "Amount": quantity * cost,
        "DetailType": "ItemBasedExpenseLineDetail",
        "ItemBasedExpenseLineDetail": detail,
    }


async def test_a_deleted_order_is_soft_deleted_by_the_next_incremental_run_and_what_it_brought_is_due_no_more(
    company: CompanyRig,
) -> None:
    await company.sync()
    order = next(order for order in company.state.records("PurchaseOrder") if order["POStatus"] == "Open")
    company.state.delete("PurchaseOrder", order["Id"])

    run = await company.sync()

    assert run.status == "succeeded", run
    assert run.entities["purchase_orders"].deleted == 1
    assert differences(await company.tables(), company.truth()) == []
    gone = [
        row for row in await company.pipeline.rows("purchase_orders", company.source, deleted=True) if row["deleted_at"]
    ]
    assert [row["external_id"] for row in gone] == [order["Id"]]

    again = await company.sync()  # the overlap brings the stub once more: nothing is left to delete

    assert again.entities["purchase_orders"].deleted == 0
    assert again.status == "succeeded"


async def test_beyond_30_days_and_beyond_1000_changes_nothing_is_missed(pipeline: Pipeline) -> None:
    async with running_company(pipeline, Size(30, 1_100, 40), still=True) as company:
        await company.sync(within=60)
        company.state.change_percent("Vendor", 100)
        company.state.delete("PurchaseOrder", "3")

        run = await company.sync(within=60)

        assert run.status == "succeeded", run
        assert run.entities["vendors"].read == 1_100
        assert differences(await company.tables(), company.truth()) == []

        company.state.change("Vendor", "7", {"DisplayName": "Back after the holidays"})
        company.state.delete("PurchaseOrder", "5")
        company.state.clock.advance(timedelta(days=40).total_seconds())

        late = await company.sync(within=60)

        assert late.status == "succeeded", late
        assert late.entities["purchase_orders"].deleted == 1  # by a full read, which the run turned to
        assert differences(await company.tables(), company.truth()) == []


async def test_an_incremental_run_of_a_quiet_company_costs_three_calls(company: CompanyRig) -> None:
    await company.sync()
    before = len(company.state.arrivals)

    run = await company.sync()

    calls = [arrival for arrival in company.state.arrivals[before:] if arrival.account != "sign-in"]
    assert (run.status, run.api_calls, len(calls)) == ("succeeded", 3, 3)
