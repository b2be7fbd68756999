"""Where Finale's stock lies: names, order, sums, and what is left where the facilities tell too little."""

import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from finale_fake import FakeClient

from services.transformer.engine import compile_mapping
from shared.clock import SystemClock
from shared.connector_sdk.protocol import ReadRequest
from shared.connectors.finale.places import MOST_LISTED, Places
from shared.connectors.finale.source import FinaleConnector
from shared.connectors.finale.spec import SPEC
from shared.contracts.mapping import FieldRule
from shared.contracts.messages import RawRecord, decode_json
from shared.contracts.records import FIELDS
from shared.errors import ConfigurationError, DataError

CONFIG = {"account": "acme"}
BOLT = "/acme/api/product/BOLT-1"
PREFIX = "/acme/api/facility/"
NAMES = {"1": "West", "2": "East", "11": "W-01", "12": "W-02", "21": "E-01", "3": "Closed"}
PARENTS = {"11": "1", "12": "1", "21": "2"}


def facilities(names: Mapping[str, Any] = NAMES, parents: Mapping[str, str] = PARENTS) -> dict[str, list[Any]]:
    return {
        "facilityUrl": [PREFIX + one for one in names],
        "facilityName": list(names.values()),
        "statusId": ["FACILITY_INACTIVE" if name == "Closed" else "FACILITY_ACTIVE" for name in names.values()],
        "parentFacilityUrl": [PREFIX + parents[one] if one in parents else None for one in names],
    }


def stock(rows: list[tuple[str | None, Any]], **columns: list[Any]) -> dict[str, list[Any]]:
    """Rows on hand of one product: facility number, quantity."""
    places = [None if place is None else PREFIX + place for place, _ in rows]
    found = {"productUrl": [BOLT] * len(rows), "facilityUrl": places, "quantityOnHand": [one for _, one in rows]}
    return found | {name: [0] * len(rows) for name in ("quantityOnOrder", "quantityReserved")} | columns


async def product(inventoryitem: Any, facility: Any, **more: Any) -> RawRecord:
    columns = {"productUrl": [BOLT], "productId": ["BOLT-1"]} | {name: [value] for name, value in more.items()}
    client = FakeClient({"product/": columns, "inventoryitem/": inventoryitem, "facility/": facility})
    source = FinaleConnector(SystemClock()).open(CONFIG, client)
    (record,) = [one async for one in source.read_all(ReadRequest("inventory", None))]
    assert len(client.requests) == source.calls_per_page("inventory")["collection"] == 3
    assert isinstance(record, dict)
    return record


def mapped(record: RawRecord, rules: dict[str, Any] | None = None) -> tuple[Any, RawRecord]:
    """`location`, and `extra`."""
    found = compile_mapping("inventory", SPEC.mapping(CONFIG, "inventory", rules or {})).apply([record])
    assert not found.rejects
    (row,) = found.rows
    extra: RawRecord = decode_json(row.extra)
    return row.cells[[field.name for field in FIELDS["inventory"]].index("location")], extra


def entry(location: str, sublocation: str | None, quantity: Any) -> RawRecord:
    place = {"location": location, "sublocation": sublocation, "quantityOnHand": quantity}
    return {name: value for name, value in place.items() if value is not None}


@pytest.mark.parametrize(
    ("rows", "places", "location"),
    [
        ([("11", 3)], [entry("West", "W-01", 3)], "West"),
        ([("3", 3)], [entry("Closed", None, 3)], "Closed"),
        (
            [("12", 1), ("1", 2), ("11", 3)],
            [entry("West", *one) for one in ((None, 2), ("W-01", 3), ("W-02", 1))],
            "West",
        ),
        ([("11", 1), ("21", "2.50")], [entry("East", "E-01", Decimal("2.50")), entry("West", "W-01", 1)], "East, West"),
        ([("11", "1.5"), ("11", Decimal("0.25")), ("11", 1)], [entry("West", "W-01", Decimal("2.75"))], "West"),
        ([("11", 4), ("11", -4), ("21", 1)], [entry("East", "E-01", 1)], "East"),
        ([("11", -4), ("21", 1)], [entry("East", "E-01", 1), entry("West", "W-01", -4)], "East"),
        ([("11", -4), ("12", 4)], [entry("West", "W-01", -4), entry("West", "W-02", 4)], None),
        ([("11", 0)], None, None),
        ([], None, None),
        ([(None, 5), ("21", 1)], [entry("East", "E-01", 1)], "East"),
    ],
    ids=[
        *("sublocation", "location, deactivated", "one location", "several", "lots", "moved away"),
        *("negative beside", "negative within", "zero", "no rows", "no facility"),
    ],
)
async def test_stock_lies_where_its_rows_say(rows: Any, places: Any, location: str | None) -> None:
    record = await product(stock(rows), facilities())
    assert record.get("stockLocations") == places
    found, extra = mapped(record)
    assert found == location
    assert extra == {}, "what moves without any other change of the row must not grow old there"


async def test_orders_lie_nowhere_yet() -> None:
    order = stock([("11", 0)], orderUrl=["/acme/api/order/1"], quantityOnOrder=[5])
    record = await product(order, {})
    assert "stockLocations" not in record
    assert record["quantityOnOrder"] == 5


async def test_the_standard_bin_goes_first_and_a_blank_one_is_none() -> None:
    rows = stock([("11", 3)])
    assert mapped(await product(rows, facilities(), containerId="A-7"))[0] == "A-7"
    assert mapped(await product(rows, facilities(), containerId=""))[0] == "West"
    assert mapped(await product(stock([]), facilities(), containerId="A-7"))[0] == "A-7"


async def test_a_rule_of_ones_own_finds_the_places() -> None:
    record = await product(stock([("11", 3), ("21", 4)]), facilities())
    own = "stockLocations[?quantityOnHand > `3`].sublocation | [0]"
    location, extra = mapped(
        record, {"inventory": {"sku": FieldRule(path="productId"), "location": FieldRule(path=own)}}
    )
    assert location == "E-01"
    assert extra["stockLocationNames"] == ["East", "West"]


@pytest.mark.parametrize(
    ("facility", "more", "places"),
    [
        (facilities({"1": "West"}), {}, [entry("99", None, 2), entry("West", None, 1)]),
        (
            facilities({"1": "West"}),
            {"parentFacilityUrl": [None, PREFIX + "1"]},
            [entry("West", None, 1), entry("West", "99", 2)],
        ),
        (
            facilities({"1": "West"}),
            {"parentFacilityUrl": [None, PREFIX + "98"]},
            [entry("98", "99", 2), entry("West", None, 1)],
        ),
        (facilities({"1": "West", "99": " "}, {"99": "98"}), {}, [entry("98", "99", 2), entry("West", None, 1)]),
        (
            facilities({"1": "West", "99": "Yard"}),
            {"parentFacilityUrl": [None, PREFIX + "1"]},
            [entry("West", None, 1), entry("Yard", None, 2)],
        ),
        (
            {"facilityUrl": [PREFIX + "1", PREFIX + "99"], "facilityName": ["West", "W-01"]},
            {"parentFacilityUrl": [None, PREFIX + "1"]},
            [entry("West", None, 1), entry("West", "W-01", 2)],
        ),
        (
            facilities({"1": "West"}) | {"parentFacilityUrl": [""]},
            {},
            [entry("99", None, 2), entry("West", None, 1)],
        ),
    ],
    ids=[
        *("unknown", "unknown, of a known one", "both unknown", "no name", "the collection decides"),
        *("the collection tells no parents", "an empty parent"),
    ],
)
async def test_a_facility_without_a_known_name_is_called_by_its_id(facility: Any, more: Any, places: Any) -> None:
    record = await product(stock([("1", 1), ("99", 2)], **more), facility)
    assert record["stockLocations"] == places


@pytest.mark.parametrize("parents", [[PREFIX + "1", None], [None, PREFIX + "1"]])
async def test_one_row_that_tells_an_unknown_facilitys_location_is_enough(parents: Any) -> None:
    record = await product(stock([("99", 1), ("99", 2)], parentFacilityUrl=parents), facilities({"1": "West"}))
    assert record["stockLocations"] == [entry("West", "99", 3)]


def refused(status: int) -> ConfigurationError:
    error = ConfigurationError("refused")
    error.status = status
    return error


@pytest.mark.parametrize(
    "facility",
    [{}, {"facilityUrl": []}, {"facilityUrl": [PREFIX + "1", PREFIX + "2"]}, refused(404)],
    ids=["nothing", "no rows", "no names", "not found"],
)
async def test_an_account_that_tells_of_no_facility_still_tells_its_stock(facility: Any) -> None:
    record = await product(stock([("1", 1), ("2", 2)]), facility)
    assert record["quantityOnHand"] == 3
    assert "stockLocations" not in record


async def test_facilities_that_are_refused_end_the_read() -> None:
    with pytest.raises(ConfigurationError, match="refused"):
        await product(stock([("1", 1)]), refused(400))


@pytest.mark.parametrize(
    "facility", [{"facilityUrl": [PREFIX + "1", None], "facilityName": ["West", "East"]}, {"facilityName": ["West"]}]
)
async def test_a_facility_without_an_address_is_refused(facility: Any) -> None:
    with pytest.raises(DataError, match="facilityUrl"):
        await product(stock([("1", 1)]), facility)


async def test_the_order_of_rows_changes_nothing() -> None:
    """What is unchanged in Finale is unchanged here, in whichever order its collections come."""
    rows = [(place, Decimal(number) / 4) for number, place in enumerate(["12", "21", "11", "1", "11", "3", "21"], 1)]
    expected = await product(stock(rows), facilities())
    for seed in range(5):
        chance = random.Random(seed)
        names = list(NAMES)
        chance.shuffle(names)
        chance.shuffle(rows)
        found = await product(stock(rows), facilities({one: NAMES[one] for one in names}))
        assert list(found.items()) == list(expected.items())


def test_two_facilities_of_one_name_are_one_place_and_the_list_ends() -> None:
    count = MOST_LISTED + 30
    names = {f"{PREFIX}{at}": f"L{at // 2:03}" for at in range(count * 2)}
    fields = Places(names, {}).fields(dict.fromkeys(names, 2))
    assert fields["stockLocations"] == [entry(f"L{at:03}", None, 4) for at in range(MOST_LISTED)]
    assert fields["stockLocationNames"] == [f"L{at:03}" for at in range(MOST_LISTED)]
