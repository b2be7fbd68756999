"""The tests' own servers: they work, each way up the ladder gives one, what is missing is named, all are ended."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis

from servers import databases, launching, redis
from servers.launching import Running, ServerUnavailableError
from servers.provider import Ladder, ServerProvider

_WAITING_TEST = """
import threading
def test_waits(redis_url):
    print(redis_url, flush=True)
    threading.Event().wait(60)
"""


async def _ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_each_test_has_databases_of_its_own(database_url: str, empty_database_url: str) -> None:
    assert database_url != empty_database_url
    for url in (database_url, empty_database_url):
        assert await _ask(url, "select rolsuper from pg_roles where rolname = current_user") is True
        assert await _ask(url, "select current_database()") == url.rpartition("/")[2]


async def test_the_template_brings_our_tables(database_url: str, empty_database_url: str, template: str | None) -> None:
    count = "select count(*) from pg_tables where schemaname = 'public'"
    assert (await _ask(database_url, count) != 0) is (template is not None)
    assert await _ask(empty_database_url, count) == 0


async def test_a_database_is_dropped_though_in_use(postgres_url: str) -> None:
    name = databases.create(postgres_url)
    connection = await asyncpg.connect(databases.at(postgres_url, name))
    try:
        await asyncio.to_thread(databases.drop, postgres_url, name)
        assert await _ask(postgres_url, f"select count(*) from pg_database where datname = '{name}'") == 0
    finally:
        connection.terminate()


async def test_postgres_18_is_the_wheels(postgres18_url: str, new_database: Callable[..., str]) -> None:
    version = await _ask(new_database(postgres18_url), "select current_setting('server_version_num')::int / 10000")
    assert version == 18


async def test_rabbitmq_carries_a_message(amqp_url: str, bus_prefix: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"{bus_prefix}queue", durable=True, arguments={"x-queue-type": "quorum"})
        try:
            await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key=queue.name)
            message = await queue.get(timeout=5)
            assert message is not None
            assert message.body == b"hello"
            await message.ack()
        finally:
            await queue.delete(if_unused=False, if_empty=False)


async def test_redis_keeps_a_key(redis_url: str, redis_prefix: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.set(f"{redis_prefix}key", "value", ex=60)
        assert await client.get(f"{redis_prefix}key") == "value"


def test_a_server_from_a_wheel_works_and_leaves_nothing() -> None:
    before = _leftovers()
    running = redis.from_wheel()
    port = int(running.url.rsplit(":", 1)[1].split("/")[0])
    try:
        assert launching.says(port, b"PING\r\n", b"+PONG")
    finally:
        running.end()
    assert not launching.listens(port)
    assert _leftovers() - before == set()


def test_an_address_comes_first_and_no_server_is_started() -> None:
    def unwanted() -> Running:
        raise AssertionError

    provider = ServerProvider({"WHERE": "redis://there"}, {"redis": Ladder("WHERE", (unwanted,), "install it")})
    assert provider.url("redis") == "redis://there"
    provider.close()


def test_the_next_way_is_tried_once_and_ended_once() -> None:
    calls: list[str] = []

    def closed() -> Running:
        calls.append("closed")
        raise ServerUnavailableError("not here")

    def open_() -> Running:
        calls.append("open")
        return Running("redis://here", lambda: calls.append("ended"))

    provider = ServerProvider({}, {"redis": Ladder("WHERE", (closed, open_), "install it")})
    provider.prefetch(["redis"])
    assert {provider.url("redis"), provider.url("redis")} == {"redis://here"}
    provider.close()
    provider.close()
    assert calls == ["closed", "open", "ended"]


def test_what_is_missing_is_named() -> None:
    def closed() -> Running:
        raise ServerUnavailableError("no program")

    provider = ServerProvider({}, {"redis": Ladder("WHERE", (closed,), "install Redis")})
    with pytest.raises(ServerUnavailableError, match=r"(?s)install Redis, or set WHERE.*closed: no program"):
        provider.url("redis")
    provider.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_session_ends_its_servers(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "test_waits.py").write_text(_WAITING_TEST)
    tests = Path(__file__).parents[1]
    options = [
        "-s",
        "-q",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_default_fixture_loop_scope=session",
    ]
    session = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, tmp_path / "test_waits.py"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
        stdout=asyncio.subprocess.PIPE,
        # A worker of a parallel session ignores Ctrl-C, and hands that on; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert session.stdout is not None
    line = (await asyncio.wait_for(session.stdout.readline(), 30)).decode().strip()
    assert line.startswith("redis://127.0.0.1:")
    port = int(line.rsplit(":", 1)[1].split("/")[0])
    assert launching.says(port, b"PING\r\n", b"+PONG")
    session.send_signal(number)
    output, _ = await asyncio.wait_for(session.communicate(), 30)
    assert session.returncode == 2, output.decode()  # pytest's code of an interrupted run
    assert not launching.listens(port)


def test_no_setting_of_the_shell_reaches_a_test() -> None:
    assert [name for name in os.environ if name.startswith("HEADRACE_")] == []


def _leftovers() -> set[Path]:
    return {path for parent in ("/tmp", "/var/tmp") for path in Path(parent).glob("headrace-redis-*")}
