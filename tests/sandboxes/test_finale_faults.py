"""What goes wrong in the Finale sandbox, on order: the faults of every server and those of Finale's answers alone."""

import json
import time
from typing import Any

import aiohttp
import pytest
from finale_client import serving, small_shop

from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.spoils import Spoil

REPORT = "/acme/doc/report/pivotTable/1/Report.csv?format=csv&data=product"


async def test_502_for_the_next_two_and_only_there() -> None:
    shop = small_shop()
    shop.state.behaviour.faults.set(FaultRule(kind="status", status=502, path="/acme/api/product", count=2))
    async with serving(shop.state) as client:
        assert (await client.call("GET", "/acme/api/facility/")).status == 200
        answers = [await client.call("GET", "/acme/api/product/") for _ in range(3)]
        assert [answer.status for answer in answers] == [502, 502, 200]
        assert all("X-RateLimit-Remaining" in answer.headers for answer in answers)


async def test_a_post_whose_answer_is_lost_was_done_or_not() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        order = {"orderTypeId": "PURCHASE_ORDER"}
        shop.state.behaviour.faults.set(FaultRule(kind="cut"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.post("order/", order)
        assert len(shop.state.records("order")) == 1
        shop.state.behaviour.faults.set(FaultRule(kind="drop"))
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.post("order/", order)
        assert len(shop.state.records("order")) == 1
        assert shop.state.arrivals[-1].status == 0
        assert shop.state.behaviour.log.in_flight == 0


async def test_bodies_that_are_no_data() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:

        async def spoiled(kind: Any, path: str = "/acme/api/product/") -> bytes:
            shop.state.behaviour.faults.set(FaultRule(kind=kind))
            answer = await client.call("GET", path)
            assert answer.status == 200
            return answer.body

        assert (await spoiled("html")).startswith(b"<!doctype html>")
        assert await spoiled("empty") == b""
        assert await spoiled("empty", REPORT) == b""
        assert (await spoiled("html", REPORT)).startswith(b"<!doctype html>")
        with pytest.raises(json.JSONDecodeError):
            json.loads(await spoiled("truncated_json"))


async def test_slow_answers() -> None:
    shop = small_shop()
    shop.state.behaviour.faults.set(FaultRule(kind="delay", ms=150), FaultRule(kind="trickle", ms=100))
    async with serving(shop.state) as client:
        started = time.perf_counter()
        assert len(await client.rows("product/")) == 2
        assert time.perf_counter() - started > 0.2


@pytest.mark.parametrize(
    ("form", "key"),
    [
        ("", "errorMessage"),
        ("error", "error"),
        ("errors", "errors"),
        ("exception", "exception"),
        ("message", "message"),
    ],
)
async def test_200_with_an_error_object(form: str, key: str) -> None:
    shop = small_shop()
    shop.state.spoils.set(Spoil(kind="error_object", field=form, skip=1, count=1, path="/acme/api/order"))
    async with serving(shop.state) as client:
        assert "productId" in await client.get("product/")
        order = {"orderTypeId": "PURCHASE_ORDER"}
        answers = [await client.post("order/", order) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert [key in answer.json for answer in answers] == [False, True, False]
        assert [hits for _, hits in shop.state.spoils.hits()] == [1]


async def test_an_unknown_form_of_an_error_object_is_refused() -> None:
    with pytest.raises(ValueError, match="errorMessageList"):
        Spoil(kind="error_object", field="odd")


async def test_a_column_that_is_shorter_than_the_others() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        whole = await client.get("product/")
        shop.state.spoils.set(Spoil(kind="short_column", field="internalName"))
        short = await client.get("product/")
        assert short.pop("internalName") == whole.pop("internalName")[:1]
        assert short == whole
        shop.state.spoils.set(Spoil(kind="short_column"))
        assert sorted({len(column) for column in (await client.get("product/")).values()}) == [1, 2]


async def test_a_field_that_is_dropped() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        shop.state.spoils.set(Spoil(kind="dropped_field", field="leadTime"))
        assert "leadTime" not in await client.get("product/")
        assert "leadTime" not in await client.get(shop.bolt)
        shop.state.spoils.set()
        assert "leadTime" in await client.get("product/")
        before = shop.state.store.get("product", shop.bolt)["lastUpdatedDate"]
        shop.state.drop_field("product", "leadTime")
        assert "leadTime" not in await client.get("product/")
        assert shop.state.store.get("product", shop.bolt)["lastUpdatedDate"] == before


async def test_a_report_without_rows() -> None:
    shop = small_shop()
    shop.state.spoils.set(Spoil(kind="empty_report", path="/acme/doc/report"))
    async with serving(shop.state) as client:
        body = (await client.call("GET", REPORT)).body
        assert body.startswith(b"Product ID,")
        assert body.count(b"\r\n") == 1
        assert await client.get(REPORT.replace(".csv", ".json").replace("=csv", "=jsonObject")) == []
