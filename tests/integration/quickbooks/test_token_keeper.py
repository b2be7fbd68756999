"""What a consent's tokens go through, one worker at a time: early refreshes, odd replies, an absent database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from pipeline import eventually, new_ring
from shared.clock import SystemClock
from shared.connector_sdk.oauth import AccessToken, OAuthApp, OAuthGrant
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.contracts.ids import UserId
from shared.errors import AuthenticationError, HeadraceError, PlatformAwayError, UnavailableError
from shared.http.client import HttpAnswer
from shared.http.hop import HttpRequest
from shared.observability.secrets import SecretRegistry
from shared.storage.database import Connection, Database, open_database


@dataclass
class Vendor:
    """A token endpoint: each call takes the next answer (status and body, or an error); the last one stays."""

    answers: list[Any] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    calls: int = 0

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self.calls += 1
        self.shown.append((request.body or b"").decode().rpartition("=")[2])
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, HeadraceError):
            raise answer
        status, body = answer(self.calls) if callable(answer) else answer
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return HttpAnswer(status, {"content-type": "application/json"}, text, "", "https://tokens", None, strayed=False)


def good(life: Any = 3600, **changes: Any) -> Callable[[int], tuple[int, dict[str, Any]]]:
    def reply(call: int) -> tuple[int, dict[str, Any]]:
        fields = {"access_token": f"AT{call}", "refresh_token": f"RT{call}", "expires_in": life, **changes}
        return 200, {name: value for name, value in fields.items() if value is not ...}

    return reply


class FlakyDatabase:
    """The real one, whose commits fail for a while: before they take effect, or after."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.lost_commits = 0
        self.lost_confirmations = 0

    @asynccontextmanager
    async def for_tenant(self, user_id: UserId) -> AsyncIterator[Connection]:
        async with self._db.for_tenant(user_id) as conn:
            yield conn
            if self.lost_commits:
                self.lost_commits -= 1
                raise PlatformAwayError("the commit did not come through")
        if self.lost_confirmations:
            self.lost_confirmations -= 1
            raise PlatformAwayError("the commit came through, its confirmation did not")


class QuickClock(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@dataclass
class Bench:
    """One consent, its keeper and its row."""

    vendor: Vendor
    db: FlakyDatabase
    admin: "asyncpg.Pool[asyncpg.Record]"
    keeper: TokenKeeper
    grant: OAuthGrant

    async def age(self, seconds: float) -> None:
        await self.admin.execute(
            "update oauth_grants set obtained_at = obtained_at - make_interval(secs => $1), "
            "expires_at = expires_at - make_interval(secs => $1)",
            seconds,
        )

    async def row(self) -> dict[str, Any]:
        row = await self.admin.fetchrow("select * from oauth_grants where id = $1", self.grant.id)
        assert row is not None
        return dict(row)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    vendor, ring = Vendor([good()]), new_ring()
    app = OAuthApp("QuickBooks Online", "client", "https://tokens", "company")
    grant = OAuthGrant(uuid4(), UserId(uuid4()), uuid4(), app, "secret", "RT0", ("https://tokens:443",))
    async with (
        open_database(database_url, role="headrace_fetcher") as db,
        asyncpg.create_pool(database_url, min_size=1, max_size=2) as admin,
    ):
        flaky = FlakyDatabase(db)
        keeper = TokenKeeper(flaky, ring, vendor, QuickClock(), SecretRegistry(), settle=0.3)  # type: ignore[arg-type] # the one method that the keeper uses
        yield Bench(vendor, flaky, admin, keeper, grant)


async def test_one_call_serves_until_four_fifths_of_the_tokens_life(bench: Bench) -> None:
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")
    await bench.age(0.79 * 3600)
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")
    await bench.age(0.02 * 3600)
    assert await bench.keeper.token(bench.grant) == AccessToken(2, "AT2")
    assert bench.vendor.shown == ["RT0", "RT1"]


async def test_a_token_that_is_still_good_serves_while_the_vendor_is_away(bench: Bench) -> None:
    bench.vendor.answers = [good(), (503, b"<html>")]
    await bench.keeper.token(bench.grant)
    await bench.age(0.9 * 3600)
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")
    assert bench.vendor.calls == 2
    await bench.age(0.1 * 3600)
    with pytest.raises(UnavailableError):
        await bench.keeper.token(bench.grant)


@pytest.mark.parametrize("life", [..., None, "soon", 0, -5, 10**12])
async def test_a_life_that_is_not_said_is_an_hour(bench: Bench, life: Any) -> None:
    bench.vendor.answers = [good(life)]
    await bench.keeper.token(bench.grant)
    row = await bench.row()
    assert (row["expires_at"] - row["obtained_at"]).total_seconds() == 3600


async def test_other_keys_of_the_app_have_to_prove_themselves(bench: Bench) -> None:
    wrong = replace(bench.grant, client_secret="mistyped")
    bench.vendor.answers = [good(), (401, {"error": "invalid_client"}), good()]
    await bench.keeper.token(bench.grant)
    with pytest.raises(AuthenticationError, match="client_secret is wrong"):
        await bench.keeper.token(wrong)
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1"), "the right ones go on with what they have"
    assert bench.vendor.calls == 2
    renewed = replace(bench.grant, client_secret="of the vendor's next pair")
    assert await bench.keeper.token(renewed) == AccessToken(2, "AT3")
    assert bench.vendor.shown == ["RT0", "RT1", "RT1"]


async def test_without_a_new_refresh_token_the_old_one_stays(bench: Bench) -> None:
    bench.vendor.answers = [good(refresh_token=...)]
    await bench.keeper.token(bench.grant)
    await bench.age(3600)
    await bench.keeper.token(bench.grant)
    assert bench.vendor.shown == ["RT0", "RT0"]


async def test_a_refused_token_is_replaced_once_however_many_complain(bench: Bench) -> None:
    first = await bench.keeper.token(bench.grant)
    renewed = await asyncio.gather(*(bench.keeper.token(bench.grant, refused=first) for _ in range(20)))
    assert set(renewed) == {AccessToken(2, "AT2")}
    assert bench.vendor.calls == 2


async def test_invalid_grant_is_final_and_dated(bench: Bench) -> None:
    body = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    bench.vendor.answers = [(400, body)]
    for _ in range(3):
        with pytest.raises(AuthenticationError) as caught:
            await bench.keeper.token(bench.grant)
        assert "connect to QuickBooks Online again" in caught.value.hint
        assert "expired or revoked" in caught.value.message
    assert "The connection ended on" in caught.value.hint
    assert bench.vendor.calls == 1
    assert (await bench.row())["reconnect_since"] is not None


async def test_a_description_that_could_be_a_token_is_not_shown(bench: Bench) -> None:
    secret = "RT1-" + "x" * 40
    bench.vendor.answers = [(400, {"error": "invalid_grant", "error_description": f"bad {secret}"})]
    with pytest.raises(AuthenticationError) as caught:
        await bench.keeper.token(bench.grant)
    assert secret not in caught.value.message
    assert secret not in str((await bench.row())["reconnect_reason"])


async def test_wrong_keys_leave_the_consent_alone(bench: Bench) -> None:
    bench.vendor.answers = [(401, {"error": "invalid_client"}), good()]
    with pytest.raises(AuthenticationError, match="client_secret"):
        await bench.keeper.token(bench.grant)
    assert (await bench.keeper.token(bench.grant)).value == "AT2"
    assert bench.vendor.shown == ["RT0", "RT0"]


async def test_after_no_answer_the_old_token_is_shown_again_once_the_call_is_surely_over(bench: Bench) -> None:
    bench.vendor.answers = [UnavailableError("dropped"), good()]
    with pytest.raises(UnavailableError):
        await bench.keeper.token(bench.grant)
    began = (await bench.row())["attempted_at"]
    await bench.keeper.token(bench.grant)
    row = await bench.row()
    assert bench.vendor.shown == ["RT0", "RT0"]
    assert (row["obtained_at"] - began).total_seconds() >= 0.3
    assert row["attempt"] is None


async def test_a_lost_answer_is_named_when_the_consent_turns_out_to_be_over(bench: Bench) -> None:
    bench.vendor.answers = [UnavailableError("dropped"), (400, {"error": "invalid_grant"})]
    with pytest.raises(UnavailableError):
        await bench.keeper.token(bench.grant)
    with pytest.raises(AuthenticationError, match="the answer to an earlier refresh was lost"):
        await bench.keeper.token(bench.grant)


async def test_a_reply_is_kept_until_the_database_takes_it(bench: Bench) -> None:
    """The read and the mark come through, the store does not, nor do its first repeats."""

    def with_trouble(call: int) -> tuple[int, dict[str, Any]]:
        bench.db.lost_commits = 3
        return good()(call)

    bench.vendor.answers = [with_trouble]
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")
    assert bench.vendor.calls == 1
    bench.vendor.answers = [good()]
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")


async def test_a_commit_without_a_confirmation_counts_once(bench: Bench) -> None:
    def with_trouble(call: int) -> tuple[int, dict[str, Any]]:
        bench.db.lost_confirmations = 1
        return good()(call)

    bench.vendor.answers = [with_trouble]
    assert await bench.keeper.token(bench.grant) == AccessToken(1, "AT1")
    assert (await bench.row())["version"] == 1


async def test_a_stop_in_mid_call_loses_no_reply(bench: Bench) -> None:
    called, answer = asyncio.Event(), asyncio.Event()
    plain = bench.vendor.send

    class Slow:
        async def send(self, request: HttpRequest) -> HttpAnswer:
            called.set()
            await answer.wait()
            return await plain(request)

    keeper = TokenKeeper(bench.db, new_ring(), Slow(), QuickClock(), SecretRegistry())  # type: ignore[arg-type] # as above
    task = asyncio.create_task(keeper.token(bench.grant))
    await called.wait()
    task.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = await bench.row()
    assert (row["version"], row["attempt"]) == (1, None)


async def test_nobody_calls_beside_a_call_that_takes_longer_than_it_should(bench: Bench) -> None:
    """The time after which a cut-off call is over is no licence: the row's lock holds as long as the caller lives."""
    called, answer, plain = asyncio.Event(), asyncio.Event(), bench.vendor.send
    flying: list[int] = [0, 0]

    class Slow:
        async def send(self, request: HttpRequest) -> HttpAnswer:
            flying[0] += 1
            flying[1] = max(flying)
            called.set()
            await answer.wait()
            flying[0] -= 1
            return await plain(request)

    ring = new_ring()
    first, second = (
        TokenKeeper(bench.db, ring, Slow(), QuickClock(), SecretRegistry(), settle=0.1)  # type: ignore[arg-type] # as above
        for _ in range(2)
    )
    tasks = [asyncio.create_task(first.token(bench.grant))]
    await called.wait()
    tasks.append(asyncio.create_task(second.token(bench.grant)))
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    await eventually(lambda: bench.admin.fetchval(waiting), bool, within=10)
    age = "select clock_timestamp() - attempted_at > interval '1 second' from oauth_grants"
    await eventually(lambda: bench.admin.fetchval(age), bool, within=10)
    answer.set()

    assert await asyncio.gather(*tasks) == [AccessToken(1, "AT1")] * 2
    assert flying[1] == 1
