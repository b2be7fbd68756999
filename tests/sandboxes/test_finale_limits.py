"""The rate limits of the Finale sandbox at their edges, and what headers and the 429 say."""

import asyncio
import math
from typing import Any

import pytest
from finale_client import Answer, Client, serving, small_shop
from msgspec.structs import replace

from sandboxes.behaviour.limits import Limits
from sandboxes.finale.rates import classes_of
from sandboxes.finale.switches import Switches

REPORT = "/acme/doc/report/pivotTable/1/Report.csv?format=csv&data=party"
SINGLE = "/acme/api/product/BOLT-1"


async def statuses(client: Client, count: int, method: str, path: str, body: Any = None) -> list[int]:
    return [(await client.call(method, path, body)).status for _ in range(count)]


async def test_120_reads_a_minute_and_not_one_more() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        assert await statuses(client, 60, "GET", SINGLE) == [200] * 60
        shop.steps.now += 30
        assert await statuses(client, 60, "GET", SINGLE) == [200] * 60
        shop.steps.now += 29.999
        assert (await client.call("GET", SINGLE)).status == 429  # 59.999 s after the first
        shop.steps.now += 0.001
        assert await statuses(client, 60, "GET", SINGLE) == [200] * 59 + [429]  # the refused one counts as well
        assert (await client.post("product/BOLT-1", {})).status == 200  # a class of its own
        assert shop.state.worst_window("get", 60.0) == 121
        assert shop.state.worst_window("post", 60.0) == 1


async def test_120_posts_a_minute_graphql_and_actions_among_them() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        assert await statuses(client, 60, "POST", "/acme/api/graphql", {"query": "{ __typename }"}) == [200] * 60
        assert await statuses(client, 30, "POST", SINGLE, {}) == [200] * 30
        assert await statuses(client, 30, "POST", "/acme/api/order/", {}) == [400] * 30  # a refused one is one too
        assert (await client.post("graphql", {"query": "{ __typename }"})).status == 429
        shop.steps.now += 60
        assert (await client.post("graphql", {"query": "{ __typename }"})).status == 200


async def test_300_collections_and_reports_an_hour() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        for _ in range(3):
            assert await statuses(client, 60, "GET", "/acme/api/product/") == [200] * 60
            assert await statuses(client, 40, "GET", REPORT) == [200] * 40
            shop.steps.now += 61
        answer = await client.call("GET", "/acme/api/facility")
        assert answer.status == 429
        assert answer.headers["X-RateLimit-Limit"] == "300"
        assert (await client.call("GET", REPORT)).status == 429
        assert (await client.call("GET", SINGLE)).status == 200  # single records are not in this class
        shop.steps.now += 3600 - 183 - 0.5
        assert (await client.call("GET", "/acme/api/facility/")).status == 429
        shop.steps.now += 0.5
        assert (await client.call("GET", "/acme/api/facility/")).status == 200
        assert shop.state.worst_window("collection", 3600.0) == 303
        assert shop.state.worst_window("get", 60.0) == 100


async def test_parallel_requests_are_counted_when_they_arrive() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        answers = await asyncio.gather(*(client.call("GET", SINGLE) for _ in range(150)))
        assert sorted(answer.status for answer in answers) == [200] * 120 + [429] * 30


async def test_headers_on_every_answer_tell_where_the_account_stands() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:

        def standing(answer: Answer) -> tuple[int, int, float]:
            limit, remaining, reset = (
                int(answer.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")
            )
            return limit, remaining, reset - shop.state.behaviour.wall().timestamp()

        limit, remaining, seconds = standing(await client.call("GET", "/acme/api/product/NOPE"))
        assert (limit, remaining) == (120, 119)
        assert 58 <= seconds <= 61
        for _ in range(119):
            answer = await client.call("GET", SINGLE)
        assert standing(answer)[:2] == (120, 0)
        shop.steps.now += 20
        refused = await client.call("GET", SINGLE)
        limit, remaining, seconds = standing(refused)
        assert (refused.status, limit, remaining) == (429, 120, 0)
        assert 38 <= seconds <= 41
        shop.steps.now += math.ceil(seconds)
        assert (await client.call("GET", SINGLE)).status == 200  # whoever waits for Reset is let in


async def test_reset_takes_the_refused_into_account() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        await statuses(client, 60, "GET", SINGLE)
        shop.steps.now += 10
        assert await statuses(client, 120, "GET", SINGLE) == [200] * 60 + [429] * 60
        answer = await client.call("GET", SINGLE)
        seconds = int(answer.headers["X-RateLimit-Reset"]) - shop.state.behaviour.wall().timestamp()
        assert 58 <= seconds <= 61  # from the last 120 on, and not 50 from the first of all
        shop.steps.now += 50
        assert (await client.call("GET", SINGLE)).status == 429
        shop.steps.now += 10
        assert (await client.call("GET", SINGLE)).status == 200


async def test_the_429_is_short_no_json_and_has_no_retry_after_by_default() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        await statuses(client, 120, "GET", SINGLE)
        answer = await client.call("GET", SINGLE)
        assert (answer.status, answer.body) == (429, b"Too Many Requests")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "Retry-After" not in answer.headers
        shop.state.switches = replace(shop.state.switches, retry_after=True)
        shop.steps.now += 0.5
        assert (await client.call("GET", SINGLE)).headers["Retry-After"] == "60"


async def test_windows_can_be_made_shorter() -> None:
    shop = small_shop()
    shop.state.switches = Switches(window_scale=0.1)
    async with serving(shop.state) as client:
        assert await statuses(client, 121, "GET", SINGLE) == [200] * 120 + [429]
        shop.steps.now += 5.99
        assert (await client.call("GET", SINGLE)).status == 429
        shop.steps.now += 0.011
        assert (await client.call("GET", SINGLE)).status == 200


async def test_all_keys_of_an_account_share_its_limits_and_strangers_have_none_of_it() -> None:
    shop = small_shop()
    async with serving(shop.state) as client:
        for _ in range(5):
            assert (await client.call("GET", SINGLE, Authorization="Basic eDp5")).status == 401
        other = "Basic b3RoZXI6c2VjcmV0"
        assert [(await client.call("GET", SINGLE, Authorization=other)).status for _ in range(60)] == [200] * 60
        assert await statuses(client, 61, "GET", SINGLE) == [200] * 60 + [429]


async def test_a_general_limit_comes_on_top_and_one_report_runs_at_a_time() -> None:
    shop = small_shop()
    shop.state.behaviour.limits = Limits(((2, 10.0),))
    async with serving(shop.state) as client:
        assert await statuses(client, 3, "GET", SINGLE) == [200, 200, 429]
        shop.state.reset()
        shop.state.switches = Switches(one_report_at_a_time=True)
        await client.call("POST", "/_control/faults", [{"kind": "delay", "ms": 200}])
        answers = await asyncio.gather(client.call("GET", REPORT), client.call("GET", REPORT))
        assert sorted(answer.status for answer in answers) == [200, 429]
        assert (await client.call("GET", REPORT)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/acme/api/product", ("get", "collection")),
        ("GET", "/acme/api/product/", ("get", "collection")),
        ("GET", "/acme/api/product/BOLT-1", ("get",)),
        ("GET", "/acme/doc/report/pivotTable/1/Report.csv", ("get", "collection")),
        ("GET", "/acme/doc/report/pivotTableStream/1/Report.csv", ("get", "collection")),
        ("POST", "/acme/api/product/", ("post",)),
        ("POST", "/acme/api/graphql", ("post",)),
    ],
)
def test_the_class_of_each_request(method: str, path: str, expected: tuple[str, ...]) -> None:
    assert classes_of("acme", method, path) == expected
