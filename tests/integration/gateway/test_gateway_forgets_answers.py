"""What a user does to a source, and whether the answers that are kept for it are forgotten with it."""

from typing import Any
from uuid import UUID

import pytest
from gateway_harness import CONFIG, CREDENTIALS, Gateway, User

OTHER_PATH = {"entities": {"inventory": {"url": "https://stock.example.com/others", "id_path": "id"}}}


async def secret(gateway: Gateway, source: dict[str, Any]) -> Any:
    return await gateway.admin.fetchval(
        "select cache_secret from external_data_sources where id = $1", UUID(source["id"])
    )


async def purges(gateway: Gateway) -> list[str]:
    return [str(row["source_id"]) for row in await gateway.admin.fetch("select source_id from cache_purges")]


@pytest.mark.parametrize(
    ("change", "forgets"),
    [
        ({"config": OTHER_PATH}, True),
        ({"credentials": CREDENTIALS}, True),
        ({"cache_ttl_seconds": 60}, True),
        ({"config": CONFIG}, False),
        ({"display_name": "another"}, False),
        ({"field_mappings": {"inventory": {"name": "title"}}}, False),
    ],
    ids=["config", "credentials", "ttl", "same_config", "name", "mapping"],
)
async def test_a_change(gateway: Gateway, user: User, change: dict[str, Any], forgets: bool) -> None:
    source, other = await user.add_source(), await user.add_source()
    before, others = await secret(gateway, source), await secret(gateway, other)
    assert before != others

    answer = await user.call("PATCH", f"/api/sources/{source['id']}", change)
    assert answer.status == 200, answer.text
    assert (await secret(gateway, source) != before) is forgets
    assert await purges(gateway) == ([source["id"]] if forgets else [])
    assert await secret(gateway, other) == others
    assert "cache_secret" not in answer.body


@pytest.mark.parametrize(("verb", "path"), [("DELETE", ""), ("POST", "/reset")], ids=["delete", "reset"])
async def test_an_end(gateway: Gateway, user: User, verb: str, path: str) -> None:
    source = await user.add_source()
    before = await secret(gateway, source)
    for _ in range(2):  # a second time there is nothing more to do, or it is done again
        answer = await user.call(verb, f"/api/sources/{source['id']}{path}")
        assert answer.status in {200, 204, 404}, answer.text
    assert await secret(gateway, source) != before
    assert await purges(gateway) == [source["id"]]


async def test_the_secret_is_no_users_to_see(gateway: Gateway, user: User) -> None:
    await user.add_source()
    async with gateway.admin.acquire() as conn, conn.transaction():
        await conn.execute("set local role authenticated")
        with pytest.raises(Exception, match="permission denied"):
            await conn.fetch("select cache_secret from external_data_sources")
