"""The tokens of consents move to a new key too: beside refreshes, after a kill, twice, and nothing of them is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from key_rig import Vault
from typer.testing import CliRunner

from pipeline import eventually
from services.cli import keys
from services.cli.resealing import ROLE
from services.cli.resealing_grants import GrantResealer, GrantResealing
from services.fetcher.key_check import KeyCheck
from shared.clock import SystemClock
from shared.connector_sdk.oauth import AccessToken, OAuthApp, OAuthGrant
from shared.connector_sdk.registry import discover, discover_specs
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.contracts.ids import UserId
from shared.errors import SealError, StartupError
from shared.http.client import HttpAnswer
from shared.http.hop import HttpRequest
from shared.observability.secrets import SecretRegistry
from shared.sealing.keyring import KeyRing, generate_key
from shared.storage.database import Database, open_database

OLD, NEW = generate_key("old"), generate_key("new")
APP = {"client_id": "app", "realm_id": "9130000000000001"}
ORIGINS = discover_specs()["quickbooks"].origins(APP)


def ring(*texts: str) -> KeyRing:
    return KeyRing.parse(",".join(texts))


@dataclass
class StrictVendor:
    """Gives a new refresh token for the last one that it gave, and for no other: a lost one is a lost connection."""

    issued: int = 0
    shown_wrong: list[str] = field(default_factory=list)
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self.asked.set()
        await self.answering.wait()
        shown = (request.body or b"").decode().rpartition("=")[2]
        if shown != f"RT{self.issued}":
            self.shown_wrong.append(shown)
        self.issued += 1
        reply = {"access_token": f"AT{self.issued}", "refresh_token": f"RT{self.issued}", "expires_in": 3600}
        text = json.dumps(reply).encode()
        return HttpAnswer(200, {"content-type": "application/json"}, text, "", "https://t", None, strayed=False)


@dataclass
class Consents:
    """Consents of one database; the fetchers' keepers hold both keys."""

    vault: Vault
    fetcher: Database
    vendor: StrictVendor = field(default_factory=StrictVendor)

    def keeper(self, *texts: str) -> TokenKeeper:
        return TokenKeeper(self.fetcher, ring(*texts), self.vendor, SystemClock(), SecretRegistry())

    async def add(self, *texts: str, origins: bool = True) -> OAuthGrant:
        """One whose tokens are sealed under the first of these keys, and the source that uses it."""
        source, user = uuid4(), UserId(uuid4())
        await self.vault.pool.execute(
            "insert into external_data_sources (id, user_id, source_type, display_name, config, entities) "
            "values ($1, $2, 'quickbooks', 'Books', $3, '{inventory}')", source, user, json.dumps(APP),
        )  # fmt: skip
        app = OAuthApp("QuickBooks Online", "app", "https://t/token", "a company")
        first = f"RT{self.vendor.issued}"
        grant = OAuthGrant(uuid4(), user, source, app, "secret", first, ORIGINS)
        self.vendor.answering.set()
        await self.keeper(*texts).token(grant)
        if not origins:
            await self.vault.pool.execute("update oauth_grants set origins = null where id = $1", grant.id)
        return grant

    async def tokens(self, grant: OAuthGrant, *texts: str) -> dict[str, str]:
        text = await self.vault.pool.fetchval("select tokens from oauth_grants where id = $1", grant.id)
        opened: dict[str, str] = json.loads(ring(*texts).open(json.loads(text), grant.context()))
        assert opened.pop("obtained_with")
        return opened

    async def kids(self) -> dict[str, int]:
        rows = await self.vault.pool.fetch(
            "select tokens ->> 'kid' as kid, count(*) as boxes from oauth_grants where tokens is not null group by 1"
        )
        return {row["kid"]: row["boxes"] for row in rows}


@pytest.fixture
async def consents(vault: Vault) -> AsyncIterator[Consents]:
    async with open_database(vault.dsn, role="headrace_fetcher") as fetcher:
        yield Consents(vault, fetcher)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, role=ROLE) as database:
        yield database


async def reseal(db: Database, *texts: str, **options: Any) -> GrantResealing:
    return await GrantResealer(db, ring(*texts), discover_specs(), **options).run(lambda *_: None)


async def test_tokens_move_and_stay_the_same_tokens(db: Database, consents: Consents) -> None:
    grants = [await consents.add(OLD, origins=kept) for kept in (True, False)]
    before = [await consents.tokens(grant, OLD) for grant in grants]
    done = await reseal(db, NEW, OLD)
    assert (done.resealed, done.left, done.failed, done.keys) == (2, 0, [], {"new": 2})
    for grant, tokens in zip(grants, before, strict=True):
        assert await consents.tokens(grant, NEW) == tokens
        with pytest.raises(SealError):
            await consents.tokens(grant, OLD)
        present = await consents.keeper(NEW).token(grant)
        assert (present.version, present.value) == (1, tokens["access_token"]), "no refresh was needed"
    again = await reseal(db, NEW, OLD)
    assert (again.resealed, again.keys) == (0, {"new": 2})


async def test_what_was_cut_off_goes_on_where_it_was(db: Database, consents: Consents) -> None:
    for _ in range(5):
        await consents.add(OLD)

    class KilledError(Exception):
        pass

    def die(done: int, _total: int) -> None:
        if done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        await GrantResealer(db, ring(NEW, OLD), discover_specs()).run(die)
    assert await consents.kids() == {"old": 3, "new": 2}
    both = await asyncio.gather(*(reseal(db, NEW, OLD) for _ in range(2)))
    assert sum(done.resealed for done in both) == 3
    assert await consents.kids() == {"new": 5}


async def test_a_rotation_waits_for_the_refresh_that_is_under_way(db: Database, consents: Consents) -> None:
    grant = await consents.add(OLD)
    consents.vendor.answering.clear()
    consents.vendor.asked.clear()
    refreshing = asyncio.create_task(consents.keeper(OLD).token(grant, refused=AccessToken(1, "AT1")))
    await consents.vendor.asked.wait()
    rotating = asyncio.create_task(reseal(db, NEW, OLD))

    async def waiting() -> Any:
        return await consents.vault.pool.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )

    await eventually(waiting, lambda count: count == 1, within=10)
    consents.vendor.answering.set()
    assert (await refreshing).value == "AT2"
    assert (await rotating).keys == {"new": 1}
    assert await consents.tokens(grant, NEW) == {"access_token": "AT2", "refresh_token": "RT2"}


async def test_refreshes_and_rotations_at_once_lose_nothing(db: Database, consents: Consents) -> None:
    """Of either order of keys: whoever writes last, what the vendor gave last is what is stored."""
    grant = await consents.add(OLD)
    orders = ((NEW, OLD), (OLD, NEW))
    over = False

    async def refresh(keeper: TokenKeeper) -> None:
        token = AccessToken(1, "AT1")
        for _ in range(15):
            token = await keeper.token(grant, refused=token)

    async def rotate(*texts: str) -> int:
        moved = 0
        while not over:
            moved += (await reseal(db, *texts)).resealed
        return moved

    rotations = [asyncio.create_task(rotate(*order)) for order in orders]
    await asyncio.gather(*(refresh(consents.keeper(*order)) for order in orders))
    over = True
    moved = [await rotation for rotation in rotations]
    assert consents.vendor.shown_wrong == []
    assert consents.vendor.issued >= 16
    assert all(moved), "each rotation met tokens under the other key"
    last = consents.vendor.issued
    assert await consents.tokens(grant, NEW, OLD) == {"access_token": f"AT{last}", "refresh_token": f"RT{last}"}


async def test_tokens_that_no_key_opens_are_told_and_only_erased_by_wish(db: Database, consents: Consents) -> None:
    lost, orphan, altered = (
        await consents.add(OLD),
        await consents.add(NEW, OLD, origins=False),
        await consents.add(NEW),
    )
    await consents.vault.pool.execute("delete from external_data_sources where id = $1", orphan.used_by)
    await consents.vault.pool.execute(
        'update oauth_grants set tokens = tokens || \'{"ct": "AAAA"}\' where id = $1', altered.id
    )
    next_ = generate_key("next")
    done = await reseal(db, next_, NEW)
    assert (done.resealed, done.left) == (0, 3)
    reasons = {each.consent: (each.kid, each.reason) for each in done.failed}
    assert reasons[lost.id][0] == "old"
    assert "not in use any more" in reasons[lost.id][1]
    assert "No source uses this consent" in reasons[orphan.id][1]
    assert "altered" in reasons[altered.id][1]

    done = await reseal(db, next_, NEW, erase_lost=True)
    assert (done.erased, done.keys) == (1, {"new": 2})
    consents.vendor.issued = int(lost.first_refresh_token.removeprefix("RT"))
    assert (await consents.keeper(next_, NEW).token(lost)).version == 2
    assert consents.vendor.shown_wrong == [], "from the consent's own token on"


async def test_the_role_sees_no_more_of_a_consent_than_its_box(db: Database, consents: Consents) -> None:
    await consents.add(OLD)
    for statement in (
        "select attempt from oauth_grants",
        "update oauth_grants set version = 7",
        "update oauth_grants set user_id = gen_random_uuid()",
        "delete from oauth_grants",
    ):
        with pytest.raises(Exception, match="permission denied"):
            async with db.transaction() as conn:
                await conn.execute(statement)


async def test_a_fetcher_without_the_key_of_tokens_does_not_start(consents: Consents) -> None:
    await consents.add(OLD)
    with pytest.raises(StartupError, match="lacks old, under which 1 stored credentials are sealed"):
        async with KeyCheck(consents.fetcher, ring(NEW), discover()):
            pass


async def test_the_commands_count_and_move_tokens(consents: Consents, monkeypatch: pytest.MonkeyPatch) -> None:
    async def type_(*words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, keys.app, words)

    grant = await consents.add(OLD)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", consents.vault.dsn)
    monkeypatch.setenv("HEADRACE_MASTER_KEYS", NEW)
    missing = await type_("check")
    assert isinstance(missing.exception, StartupError)
    assert "lacks old" in missing.exception.message
    failed = await type_("rotate", "--json")
    assert (failed.exit_code, json.loads(failed.stdout)["ok"]) == (1, False)

    monkeypatch.setenv("HEADRACE_MASTER_KEYS", f"{NEW},{OLD}")
    checked = json.loads((await type_("check", "--json")).stdout)
    assert (checked["ok"], checked["boxes"], checked["oauth_tokens"]) == (True, {}, {"old": 1})
    rotated = await type_("rotate", "--json")
    assert rotated.exit_code == 0, rotated.output
    assert json.loads(rotated.stdout)["oauth_tokens"] == {
        "current": "new", "resealed": 1, "erased": 0, "failed": [], "keys": {"new": 1},
    }  # fmt: skip
    assert "new: 0 sealed and the tokens of 1 consents (current)" in (await type_("check")).stdout
    assert "the tokens of 0 consents sealed anew" in (await type_("rotate")).stdout
    assert await consents.tokens(grant, NEW) == {"access_token": "AT1", "refresh_token": "RT1"}
