"""A fetcher, or a gateway, with the wrong keys does not start, and says which key it is."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
from key_rig import Vault

from services.fetcher.key_check import KeyCheck
from services.gateway.app import check_seal_keys
from shared.connector_sdk.registry import discover
from shared.errors import StartupError
from shared.sealing.keyring import KeyRing, generate_key
from shared.storage.database import Database, open_database

FIRST, SECOND = generate_key("first"), generate_key("second")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role="headrace_fetcher") as database:
        yield database


async def start(db: Database, *texts: str) -> None:
    async with KeyCheck(db, KeyRing.parse(",".join(texts)), discover()):
        pass


async def test_the_right_keys_start_again_and_again(db: Database, vault: Vault) -> None:
    await start(db, FIRST)
    await vault.add(KeyRing.parse(FIRST))
    await asyncio.gather(*(start(db, SECOND, FIRST) for _ in range(3)))
    await start(db, FIRST)
    assert await vault.pool.fetchval("select array_agg(kid order by kid) from sealing_keys") == ["first", "second"]


async def test_another_key_of_a_known_name_is_refused(db: Database) -> None:
    await start(db, SECOND, FIRST)
    with pytest.raises(StartupError, match="HEADRACE_MASTER_KEYS: first is not the key of that name"):
        await start(db, SECOND, generate_key("first"))


async def test_another_key_is_refused_by_the_boxes_alone(db: Database, vault: Vault) -> None:
    for _ in range(2):
        await vault.add(KeyRing.parse(FIRST))
    with pytest.raises(StartupError, match="HEADRACE_MASTER_KEYS: first is not the key of that name"):
        await start(db, generate_key("first"))
    assert await vault.pool.fetchval("select count(*) from sealing_keys") == 0, "the right one must be able to claim it"
    await start(db, FIRST)


async def test_one_damaged_box_does_not_stop_a_fetcher(db: Database, vault: Vault) -> None:
    damaged, _ = [await vault.add(KeyRing.parse(FIRST)) for _ in range(2)]
    await vault.pool.execute(
        'update external_data_sources set credentials = credentials || \'{"ct": "AAAA"}\' where id = $1', damaged
    )
    await start(db, FIRST)
    await vault.pool.execute('update external_data_sources set credentials = credentials || \'{"ct": "AAAA"}\'')
    await start(db, FIRST)  # proven once, the key is the key


async def test_a_key_in_use_that_is_missing_is_named(db: Database, vault: Vault) -> None:
    await vault.add(KeyRing.parse(FIRST))
    with pytest.raises(StartupError, match="lacks first, under which 1 stored credentials are sealed") as refused:
        await start(db, SECOND)
    assert "--erase-lost" in refused.value.hint
    assert await vault.pool.fetchval("select count(*) from sealing_keys") == 0


async def test_a_gateway_with_another_public_half_is_refused(db: Database, vault: Vault) -> None:
    await start(db, FIRST)
    async with open_database(vault.dsn, role="headrace_gateway") as gateway:
        await check_seal_keys(gateway, KeyRing.parse(f"{SECOND},{FIRST}").public())
        with pytest.raises(StartupError, match="HEADRACE_SEAL_KEYS: first is not the public half"):
            await check_seal_keys(gateway, KeyRing.parse(generate_key("first")).public())


async def test_the_process_refuses_in_a_sentence(
    vault: Vault, amqp_url: str, redis_url: str, bus_prefix: str, redis_prefix: str
) -> None:
    await vault.claim(KeyRing.parse(FIRST))
    wrong = generate_key("first")
    environ = {
        **os.environ,
        "HEADRACE_DATABASE_URL": vault.dsn, "HEADRACE_AMQP_URL": amqp_url, "HEADRACE_REDIS_URL": redis_url,
        "HEADRACE_AMQP_PREFIX": bus_prefix, "HEADRACE_REDIS_PREFIX": redis_prefix, "HEADRACE_MASTER_KEYS": wrong,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.fetcher", env=environ, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 2, said
    assert b"headrace: HEADRACE_MASTER_KEYS: first is not the key of that name" in said
    assert b"Traceback" not in said
    assert wrong.partition(":")[2].encode() not in said
