"""A caller that is told to end while it talks to Redis does end, whatever it is doing at that moment."""

from collections.abc import Awaitable, Callable

import pytest
from cancelling import swallowed_ends
from limiter_rig import Rig

from shared.coordination.redis import RedisServer, Script

Command = Callable[[RedisServer, str], Awaitable[object]]

COMMANDS: dict[str, Command] = {
    "get": lambda server, key: server.get(key),
    "set": lambda server, key: server.set(key, b"value", ttl=1),
    "delete": lambda server, key: server.delete(key),
    "script": lambda server, key: server.run(Script("return 1"), [key], []),
    "ready": lambda server, _key: server.ready(),
}


@pytest.mark.parametrize("command", list(COMMANDS))
async def test_no_moment_of_a_command_swallows_the_end(rig: Rig, command: str) -> None:
    key = f"{rig.prefix}key"
    await COMMANDS[command](rig.server, key)  # connected, and the script is known

    assert await swallowed_ends(lambda: COMMANDS[command](rig.server, key)) == []

    assert await rig.server.ready()
