"""Sums and products of Finale's numbers, where Python's own decimals would round to 28 digits or overflow."""

from decimal import Decimal
from typing import Any

import pytest
from finale_fake import FakeClient

from shared.clock import SystemClock
from shared.connector_sdk.protocol import ReadRequest
from shared.connectors.finale.numbers import minus, parsed, plus, summed, times
from shared.connectors.finale.source import FinaleConnector
from shared.errors import DataError

BOLT, WEST, EAST = "/acme/api/product/BOLT-1", "/acme/api/facility/1", "/acme/api/facility/2"
HUGE = Decimal("123456789012345678901234567890.123456789")
TINY = Decimal("0.000000001")


async def bolt(quantities: list[Any], **columns: list[Any]) -> Any:
    stock = {
        "productUrl": [BOLT] * len(quantities),
        "facilityUrl": [WEST, EAST][: len(quantities)],
        "quantityOnHand": quantities,
    }
    client = FakeClient(
        {
            "product/": {"productUrl": [BOLT], "productId": ["BOLT-1"]},
            "inventoryitem/": stock | columns,
            "facility/": {"facilityUrl": [WEST, EAST], "facilityName": ["Main", "Main"]},
        }
    )
    source = FinaleConnector(SystemClock()).open({"account": "acme"}, client)
    (found,) = [record async for record in source.read_all(ReadRequest("inventory", None))]
    return found


async def test_stock_of_many_digits_is_summed_to_the_last_one() -> None:
    found = await bolt([HUGE, TINY])
    assert str(found["quantityOnHand"]) == "123456789012345678901234567890.123456790"
    assert str(found["stockLocations"][0]["quantityOnHand"]) == "123456789012345678901234567890.123456790"


async def test_blanks_beside_the_quantity_that_counts_are_none() -> None:
    found = await bolt(["7.5"], quantityOnOrder=[""], quantityReserved=[" "])
    assert [found[name] for name in ("quantityOnHand", "quantityOnOrder", "quantityReserved")] == [Decimal("7.5"), 0, 0]
    with pytest.raises(DataError, match="has no quantityOnHand"):
        await bolt([""], quantityOnOrder=[0], quantityReserved=[0])


@pytest.mark.parametrize("text", ["1E+999999999", "1E-999999999", "1E+60", "9" * 61])
async def test_a_number_without_measure_is_none(text: str) -> None:
    assert parsed(text) is None
    assert parsed(Decimal(text)) is None
    with pytest.raises(DataError, match=f"quantityOnHand of {BOLT} is no number"):
        await bolt([Decimal(text)])


def test_what_is_made_of_the_longest_numbers_is_exact() -> None:
    longest = Decimal("9" * 60 + "." + "9" * 60)
    assert parsed(str(longest)) is None, "longer than a text may be"
    assert parsed(longest) == longest
    assert str(times(longest, longest)).endswith("0" * 59 + "1")
    assert str(times(longest, 10)) == "9" * 61 + "." + "9" * 59 + "0"
    many = summed([longest] * 1_000)
    assert minus(many, times(longest, 999)) == longest
    assert str(plus(HUGE, 1)) == "123456789012345678901234567891.123456789"
    assert summed([]) == 0
