"""How many runs one user may follow at once, so that nobody holds all of the gateway's connections."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from gateway_harness import Gateway, User, token

from pipeline import eventually
from services.gateway.run_watch import MOST_STREAMS

_Open = tuple[int, asyncio.StreamWriter]


async def follow(gateway: Gateway, user: User, run_id: str) -> _Open:
    """The status, and the connection that stays open."""
    at = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    head = f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user.id)}\r\n\r\n"
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), 20)
    return int(status.split()[1]), writer


async def run_of(user: User) -> str:
    source = await user.add_source()
    return str((await user.post(f"/api/sources/{source['id']}/sync")).body["run_id"])


async def test_one_user_may_follow_so_many_runs_and_no_more(gateway: Gateway, user: User, stranger: User) -> None:
    run_id, other = await run_of(user), await run_of(stranger)
    streams: list[_Open] = []
    try:
        while len(streams) < MOST_STREAMS:
            streams += await asyncio.gather(*(follow(gateway, user, run_id) for _ in range(50)))
        assert {status for status, _ in streams} == {200}
        refused = await user.get(f"/api/runs/{run_id}/events")
        assert (refused.status, refused.body["category"], refused.headers["retry-after"]) == (429, "RATE_LIMITED", "5")
        streams.append(await follow(gateway, stranger, other))
        assert streams[-1][0] == 200, "another user's streams count apart"
        assert (await user.get(f"/api/runs/{run_id}")).status == 200

        for _, writer in streams[:5]:
            writer.close()

        async def admitted() -> int:
            status, writer = await follow(gateway, user, run_id)
            streams.append((status, writer))
            return status

        await eventually(admitted, lambda status: status == 200, within=20)
    finally:
        for _, writer in streams:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
