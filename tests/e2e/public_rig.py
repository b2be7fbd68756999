"""A broker as docs/operations.md sets it up: a virtual host of the test's own, a user for us, a user for outsiders."""

import re
import secrets
import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractRobustChannel
from yarl import URL

from servers.launching import Running

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@dataclass(frozen=True)
class Place:
    """Where the two users of the page meet; `users` are their names here."""

    ours: str
    outsider: str
    users: Mapping[str, str]


@contextmanager
def as_documented(broker: Running) -> Iterator[Place]:
    """Runs the page's own commands, each user under a name of the test's own and in its virtual host."""
    assert broker.control is not None
    unique = secrets.token_hex(4)
    vhost = f"test-{unique}"
    users = {"headrace": f"headrace-{unique}", "outsider": f"outsider-{unique}"}
    password = secrets.token_hex(12)
    lines = re.findall(r"^rabbitmqctl (\S+) (\S+)(.*)$", OPERATIONS.read_text(), re.MULTILINE)
    assert len(lines) == 4, lines
    broker.control("add_vhost", vhost)
    try:
        broker.control("add_user", users["headrace"], stdin=password)
        for command, user, rest in lines:
            if command == "add_user":
                broker.control(command, users[user], stdin=password)
            else:
                broker.control(command, "-p", vhost, users[user], *shlex.split(rest, comments=True))
        url = URL(broker.url).with_path(f"/{vhost}").with_password(password)
        yield Place(
            str(url.with_user(users["headrace"]).with_password(password)),
            str(url.with_user(users["outsider"]).with_password(password)),
            users,
        )
    finally:
        for user in users.values():
            broker.control("delete_user", user)
        broker.control("delete_vhost", vhost)


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[AbstractRobustChannel]:
    """A channel with confirms, on a connection that is not opened again."""
    async with await aio_pika.connect(url) as connection, connection.channel(on_return_raises=True) as channel:
        yield channel


async def publish(url: str, body: bytes, *, exchange: str = "headrace.public", key: str = "sync.requested") -> Any:
    """Returns when the broker has confirmed it."""
    async with channel_of(url) as channel:
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        return await target.publish(aio_pika.Message(body), key, mandatory=True)
