"""Sealing anew: all of it, in steps that survive a kill, without losing what users enter meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from key_rig import Vault
from typer.testing import CliRunner

from pipeline import eventually
from services.cli import keys
from services.cli.resealing import ROLE, Resealer, Resealing
from services.cli.resealing_webhooks import reseal_webhook_secrets
from shared.connector_sdk.registry import discover_specs
from shared.errors import SealError, StartupError
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.symmetric import derive_webhook_keys
from shared.storage.database import Database, open_database

OLD, NEW = generate_key("old"), generate_key("new")


def ring(*texts: str) -> KeyRing:
    return KeyRing.parse(",".join(texts))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role=ROLE) as database:
        yield database


async def reseal(db: Database, keys_: KeyRing, **options: Any) -> tuple[Resealing, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    done = await Resealer(db, keys_, discover_specs(), **options).run(lambda *progress: seen.append(progress))
    return done, seen


async def test_every_box_moves_and_stays_in_its_place(db: Database, vault: Vault) -> None:
    put = {await vault.add(ring(OLD), {"type": "bearer", "token": str(number)}): str(number) for number in range(5)}
    current = await vault.add(ring(NEW, OLD), {"type": "bearer", "token": "new already"})
    before = await vault.box(current)
    stamps = await vault.column("updated_at")
    done, seen = await reseal(db, ring(NEW, OLD), batch=2)
    assert (done.resealed, done.left, done.failed, done.keys) == (5, 0, [], {"new": 6})
    assert seen == [(0, 5), (2, 5), (4, 5), (5, 5)]
    for source_id, token in put.items():
        assert await vault.opened(ring(NEW), source_id) == {"type": "bearer", "token": token}
        with pytest.raises(SealError):
            await vault.opened(ring(OLD), source_id)
    assert await vault.box(current) == before
    assert await vault.column("updated_at") == stamps, "sealing anew is no change of the source"
    again, _ = await reseal(db, ring(NEW, OLD))
    assert (again.resealed, again.keys) == (0, {"new": 6})


async def test_what_was_cut_off_goes_on_where_it_was(db: Database, vault: Vault) -> None:
    for _ in range(5):
        await vault.add(ring(OLD))

    class KilledError(Exception):
        pass

    def die(done: int, _total: int) -> None:
        if done >= 2:
            raise KilledError

    with pytest.raises(KilledError):
        await Resealer(db, ring(NEW, OLD), discover_specs(), batch=2).run(die)
    assert await vault.kids() == {"old": 3, "new": 2}
    done, seen = await reseal(db, ring(NEW, OLD), batch=2)
    assert (done.resealed, seen[0], await vault.kids()) == (3, (0, 3), {"new": 5})


async def test_two_at_once_share_the_work(db: Database, vault: Vault) -> None:
    for _ in range(20):
        await vault.add(ring(OLD))
    both = await asyncio.gather(*(reseal(db, ring(NEW, OLD), batch=3) for _ in range(2)))
    assert sum(done.resealed for done, _ in both) == 20
    assert await vault.kids() == {"new": 20}


async def test_what_a_user_enters_meanwhile_stays(db: Database, vault: Vault) -> None:
    source_id = await vault.add(ring(OLD), {"type": "bearer", "token": "before"})
    entered = {"type": "bearer", "token": "entered meanwhile"}
    async with vault.pool.acquire() as user, user.transaction():
        await user.execute(  # a gateway that still seals under the old key, and has not committed yet
            "update external_data_sources set credentials = $2 where id = $1",
            source_id, json.dumps(await vault.seal(ring(OLD), source_id, entered)),
        )  # fmt: skip
        rotating = asyncio.create_task(reseal(db, ring(NEW, OLD)))

        async def waiting() -> Any:
            return await vault.pool.fetchval("select count(*) from pg_stat_activity where wait_event_type = 'Lock'")

        await eventually(waiting, lambda count: count == 1, within=10)
    done, _ = await rotating
    assert (done.resealed, done.changed_meanwhile, done.keys) == (1, 1, {"new": 1})
    assert await vault.opened(ring(NEW), source_id) == entered


async def test_what_no_key_opens_is_told_and_only_erased_by_wish(db: Database, vault: Vault) -> None:
    good, lost, damaged, foreign = [await vault.add(ring(key)) for key in (OLD, generate_key("gone"), OLD, OLD)]
    await vault.pool.execute(
        'update external_data_sources set credentials = credentials || \'{"ct": "AAAA"}\' where id = $1', damaged
    )
    await vault.pool.execute("update external_data_sources set source_type = 'not_here' where id = $1", foreign)
    done, _ = await reseal(db, ring(NEW, OLD))
    assert (done.resealed, done.left) == (1, 3)
    reasons = {failed.source_id: (failed.kid, failed.reason) for failed in done.failed}
    assert set(reasons) == {lost, damaged, foreign}
    assert reasons[lost][0] == "gone"
    assert "not in use any more" in reasons[lost][1]
    assert "altered" in reasons[damaged][1]
    assert "no connector for not_here" in reasons[foreign][1]
    assert await vault.kids() == {"new": 1, "gone": 1, "old": 2}

    done, _ = await reseal(db, ring(NEW, OLD), erase_lost=True)
    assert (done.erased, done.left) == (1, 2)
    row = await vault.pool.fetchrow(
        "select credentials, credentials_set from external_data_sources where id = $1", lost
    )
    assert row is not None
    assert (row["credentials"], row["credentials_set"]) == (None, [])
    assert await vault.opened(ring(NEW), good) == {"type": "none"}


async def test_another_key_of_the_same_name_moves_nothing(db: Database, vault: Vault) -> None:
    await vault.add(ring(OLD))
    await vault.claim(ring(NEW, OLD))
    for wrong in (ring(generate_key("new"), OLD), ring(NEW, generate_key("old"))):
        with pytest.raises(StartupError, match="is not the key of that name"):
            await reseal(db, wrong)
    assert await vault.kids() == {"old": 1}


async def test_the_role_sees_boxes_and_their_places_only(db: Database, vault: Vault) -> None:
    await vault.add(ring(OLD))
    for statement in (
        "select display_name from external_data_sources",
        "update external_data_sources set config = '{}'",
        "update external_data_sources set user_id = gen_random_uuid()",
        "delete from external_data_sources",
        "select * from inventory",
        "select * from sync_runs",
        "update sealing_keys set public_key = ''",
        "delete from sealing_keys",
        "select get_external_source_credentials(gen_random_uuid())",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction() as conn:
                await conn.execute(statement)
    async with open_database(vault.dsn, role="headrace_gateway") as gateway, gateway.transaction() as conn:
        assert await conn.fetch("select * from headrace_kids_in_use()") == [("old", 1, 0)]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("select headrace_boxes_under('old', 1)")


async def test_webhook_secrets_move_with_the_ring_they_are_derived_from(db: Database, vault: Vault) -> None:
    older, newer = derive_webhook_keys(ring(OLD)), derive_webhook_keys(ring(NEW, OLD))
    kept, lost = [await vault.add(ring(OLD)) for _ in range(2)]
    await vault.add_webhook_secret(older, kept, "whsec_kept")
    await vault.add_webhook_secret(derive_webhook_keys(ring(generate_key("gone"))), lost, "whsec_lost")
    done = await reseal_webhook_secrets(db, newer)
    assert (done.resealed, done.failed, dict(done.keys)) == (1, [lost], {"new": 1, "gone": 1})
    assert await vault.webhook_secret(derive_webhook_keys(ring(NEW)), kept) == b"whsec_kept"
    assert (await reseal_webhook_secrets(db, newer)).resealed == 0


async def test_the_commands(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    async def type_(*words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, keys.app, words)

    for _ in range(3):
        await vault.add(ring(OLD))
    monkeypatch.setenv("HEADRACE_DATABASE_URL", vault.dsn)
    monkeypatch.setenv("HEADRACE_MASTER_KEYS", f"{NEW},{OLD}")
    checked = await type_("check", "--json")
    assert (checked.exit_code, json.loads(checked.stdout)["boxes"]) == (0, {"old": 3})
    [some, *_] = await vault.column("id")
    await vault.add_webhook_secret(derive_webhook_keys(ring(OLD)), some, "whsec_some")
    assert json.loads((await type_("check", "--json")).stdout)["webhook_secrets"] == {"old": 1}
    rotated = await type_("rotate", "--json")
    assert rotated.exit_code == 0, rotated.output
    assert json.loads(rotated.stdout)["webhook_secrets"] == {"resealed": 1, "failed": [], "keys": {"new": 1}}
    document = json.loads(rotated.stdout)
    assert (document["ok"], document["current"], document["resealed"], document["keys"]) == (
        True, "new", 3, {"new": 3},
    )  # fmt: skip
    assert "3/3" in rotated.stderr
    assert "no fetcher has started with new yet" in rotated.stderr
    assert NEW.partition(":")[2] not in rotated.output
    said = (await type_("check")).stdout
    assert "new: 3 sealed (current)" in said
    assert "old: 0 sealed (older, still opens)" in said
    again = await type_("rotate")
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "0 sealed anew under new")
    assert "no fetcher" not in again.stderr

    await vault.add(ring(generate_key("gone")))
    failed = await type_("rotate", "--json")
    assert (failed.exit_code, json.loads(failed.stdout)["ok"]) == (1, False)
    assert (await type_("check")).exit_code != 0
    erased = await type_("rotate", "--erase-lost")
    assert (erased.exit_code, "1 erased" in erased.stdout) == (0, True)

    monkeypatch.setenv("HEADRACE_MASTER_KEYS", generate_key("new"))
    wrong = await type_("check", "--json")
    assert (wrong.exit_code != 0, json.loads(wrong.stdout)["foreign"]) == (True, ["new"])
    assert isinstance((await type_("rotate")).exception, StartupError)
    made = json.loads((await type_("generate", "--kid", "next", "--json")).stdout)
    assert (made["kid"], KeyRing.parse(made["key"]).kids) == ("next", ("next",))
