"""Each fault of the vendor in turn: the right category, words that help, and not a row lost, deleted or invented."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from company_rig import CompanyRig, config, credentials, running_company
from test_quickbooks_rows import differences

from pipeline import Pipeline, eventually
from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.faults import VendorFault
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import App
from sandboxes.quickbooks.wire import CODES
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.metered import MeteredClient
from shared.connector_sdk.protocol import Page, ReadRequest
from shared.connectors.quickbooks.source import CONNECTOR
from shared.errors import Category, HeadraceError, PersonMustActError, RateLimitedError, RetryableError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy

TINY = Size(12, 3, 6)
PERSON: dict[str, tuple[Category, str]] = {
    "100": ("AUTH_FAILED", "realm_id"),
    "120": ("AUTH_FAILED", "administrator"),
    "3100": ("AUTH_FAILED", "environment"),
    "3200": ("AUTH_FAILED", "connect to QuickBooks again"),
    "6190": ("AUTH_FAILED", "subscription"),
    "500": ("CONFIG_ERROR", "plan"),
}
"""Codes that a person must act on: what is wrong, and a word of the hint. All others of a 400 are DATA_ERROR."""


@dataclass
class FreeBudget:
    """No limits; remembers the blocks."""

    blocks: list[float | None] = field(default_factory=list)

    async def spend(self, limit_class: str) -> None:
        assert limit_class == "default"

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        assert limit_class == "default"
        self.blocks.append(retry_after)

    @asynccontextmanager
    async def concurrency(self, limit_class: str) -> AsyncIterator[None]:
        assert limit_class == "default"
        yield


@dataclass
class Reader:
    """The connector against a sandbox, without a pipeline."""

    state: QuickBooksState
    http: HttpClient
    url: str

    async def read(self, budget: FreeBudget, token: str) -> Page:
        """One page."""
        client = MeteredClient(self.http, Secrets(headers={"Authorization": f"Bearer {token}"}), budget)
        return await CONNECTOR.open(config(self.url), client).read_page(ReadRequest("vendors", None), None)

    async def failure(self) -> tuple[HeadraceError, FreeBudget]:
        """Of reading one page."""
        budget, token = FreeBudget(), self.state.grant()["access_token"]
        with pytest.raises(HeadraceError) as caught:
            await self.read(budget, token)
        shown = f"{caught.value.message} {caught.value.hint}"
        assert token not in shown
        assert caught.value.message
        return caught.value, budget


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    state = QuickBooksState(TINY)
    policy = EgressPolicy.parse("127.0.0.0/8")
    async with running(build_app(state)) as url, HttpClient(policy, SystemClock()) as http:
        yield Reader(state, http, url)


@pytest.mark.parametrize("form", ["Fault", "fault", "xml"])
@pytest.mark.parametrize("code", sorted(CODES))
async def test_each_code_in_each_form(reader: Reader, code: str, form: Any) -> None:
    reader.state.faults.set(VendorFault(code=code, form=form, detail="Token expired: eyJsecret"))

    error, budget = await reader.failure()

    assert "eyJsecret" not in f"{error.message}{error.hint}"
    if code == "3001":
        assert isinstance(error, RateLimitedError)
        assert (error.retry_after, budget.blocks) == (None, [None])
        return
    assert budget.blocks == []
    assert f"code {code}" in error.message
    if code in ("10000", "4002"):
        assert isinstance(error, RetryableError)
        assert error.category == "NETWORK_ERROR"
        return
    category, word = PERSON.get(code, ("DATA_ERROR", ""))
    assert isinstance(error, PersonMustActError)
    assert error.category == category
    assert word in error.hint
    assert error.hint


@pytest.mark.parametrize("code", ["3001", "3200", "6190", "10000", "6000"])
async def test_a_fault_inside_a_good_answer_is_a_fault(reader: Reader, code: str) -> None:
    reader.state.faults.set(VendorFault(code=code, status=200))

    error, budget = await reader.failure()

    assert isinstance(error, RateLimitedError) == (code == "3001") == bool(budget.blocks)
    assert isinstance(error, RetryableError) == (code in ("3001", "10000"))


@pytest.mark.parametrize("status", [400, 403, 429, 503])
@pytest.mark.parametrize("form", ["Fault", "fault", "xml"])
async def test_a_throttle_is_one_whatever_the_status(reader: Reader, form: Any, status: int) -> None:
    reader.state.faults.set(VendorFault(code="3001", form=form, status=status))

    error, budget = await reader.failure()

    assert isinstance(error, RateLimitedError)
    assert budget.blocks == [None]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("throttle_body", ["xml", "Fault", "fault"])
async def test_the_vendors_own_limit_in_each_body(reader: Reader, throttle_body: Any, told: bool) -> None:
    reader.state.switches = Switches(realm_limits=((1, 30.0),), throttle_body=throttle_body, retry_after=told)
    await reader.read(FreeBudget(), reader.state.grant()["access_token"])

    error, budget = await reader.failure()

    assert isinstance(error, RateLimitedError)
    assert budget.blocks == [error.retry_after]
    assert error.retry_after is None if not told else 20 < (error.retry_after or 0) <= 30


@pytest.mark.parametrize(
    ("form", "category"), [("html", "DATA_ERROR"), ("gateway", "DATA_ERROR"), ("drop", "NETWORK_ERROR")]
)
async def test_what_is_no_answer_is_tried_again(reader: Reader, form: Any, category: str) -> None:
    reader.state.faults.set(VendorFault(form=form, status=200 if form != "drop" else None))

    error, _ = await reader.failure()

    assert isinstance(error, RetryableError)
    assert error.category == category


async def test_a_person_reads_what_to_do_and_no_row_is_touched(pipeline: Pipeline) -> None:
    """Faults that end a run at once, one after the other on one company with rows."""
    async with running_company(pipeline, TINY) as company:
        await company.sync()
        truth = company.truth()
        for code, (category, word) in {**PERSON, "4001": ("DATA_ERROR", "id"), "6000": ("DATA_ERROR", "id")}.items():
            for mode in ("incremental", "full"):
                if code == "500" and mode == "incremental":
                    continue  # that is how the change feed says "too long ago"
                company.state.faults.set(VendorFault(code=code, form="xml" if code == "100" else "Fault"))

                run = await company.sync(mode=mode)

                assert (run.status, run.error and run.error.category) == ("failed", category), (code, run)
                assert run.error is not None
                assert word in (run.error.hint or ""), code
                row = await pipeline.admin.fetchrow(
                    "select sync_status, sync_error from external_data_sources where id = $1", company.source
                )
                assert row is not None
                assert row["sync_status"] == "failed"
                assert word in row["sync_error"]
                assert differences(await company.tables(), truth) == []
        assert await pipeline.admin.fetchval("select count(*) from dead_letters") == 0
        company.state.faults.set()
        assert (await company.sync()).status == "succeeded"
        assert differences(await company.tables(), truth) == []


@pytest.mark.timeout(180)
async def test_passing_trouble_is_survived_without_a_trace(pipeline: Pipeline) -> None:
    async with running_company(pipeline, TINY) as company:
        for fault in (
            VendorFault(code="10000", count=1),
            VendorFault(form="html", status=503, count=1),
            VendorFault(form="html", status=200, count=1),
            VendorFault(form="gateway", status=502, count=1),
            VendorFault(form="drop", count=1),
            VendorFault(form="drop", after=True, count=1),
            VendorFault(code="3200", form="fault", count=1),
        ):
            company.state.faults.set(fault)

            run = await company.sync(mode="full", within=40)

            assert run.status == "succeeded", (fault, run)
            assert differences(await company.tables(), company.truth()) == []


async def test_a_throttled_company_makes_everybody_wait_a_minute(company: CompanyRig) -> None:
    await company.sync()
    company.state.faults.set(VendorFault(code="3001", form="xml"))

    run_id = await company.pipeline.ask(company.source, mode="full")
    view = await eventually(
        lambda: company.pipeline.view(run_id), lambda seen: seen.waiting_on == "rate_limit", within=20
    )

    assert view.resume_at is not None
    assert 40 < (view.resume_at - SystemClock().now()).total_seconds() <= 61
    calls = len(company.state.arrivals)
    other = await company.pipeline.ask(await company.another_source())
    await eventually(lambda: company.pipeline.view(other), lambda seen: seen.waiting_on == "rate_limit", within=20)
    assert len(company.state.arrivals) == calls  # another source of the company calls nobody either


async def test_a_revoked_connection_asks_once_and_then_says_since_when(company: CompanyRig) -> None:
    await company.sync()
    company.state.tokens.end(next(iter(company.state.companies)), "the user disconnected")
    truth = company.truth()

    first = await company.sync()
    exchanges = len(company.state.sign_in.log.exchanges)
    second = await company.sync()

    for run in (first, second):
        assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED"), run
        assert "connect to QuickBooks Online again" in str(run.error and run.error.hint)
    assert "The connection ended on 20" in str(second.error and second.error.hint)
    assert len(company.state.sign_in.log.exchanges) == exchanges  # a dead token is not shown again
    assert await company.pipeline.admin.fetchval("select count(*) from dead_letters") == 0
    assert differences(await company.tables(), truth) == []


async def test_wrong_keys_of_the_app_are_said_to_be_that(company: CompanyRig) -> None:
    wrong = {**credentials(company.state), "client_secret": "not-the-secret"}
    source = await company.pipeline.add_source(config(company.url), wrong, source_type="quickbooks")

    run = await company.pipeline.sync(source)

    assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED")
    assert run.error is not None
    assert "client_secret" in (run.error.hint or "")
    assert "not-the-secret" not in str(run)
    state = await company.pipeline.admin.fetchrow(
        "select reconnect_since from oauth_grants where reconnect_since is not null"
    )
    assert state is None


async def test_a_source_without_consent_says_so(company: CompanyRig) -> None:
    for settings, secrets in (
        (config(company.url), {"client_secret": "sandbox-secret"}),
        ({**config(company.url), "realm_id": None}, credentials(company.state)),
    ):
        source = await company.pipeline.add_source(settings, secrets, source_type="quickbooks")
        run = await company.pipeline.sync(source)
        assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED"), run
        assert "not connected" in str(run.error and run.error.message)


async def test_keys_of_the_wrong_environment_are_said_to_be_that(company: CompanyRig) -> None:
    company.state.add_app(App(client_id="live-client", client_secret="live-secret", environment="production"))
    secrets = {
        "client_secret": "live-secret",
        "refresh_token": company.state.grant(client_id="live-client")["refresh_token"],
    }
    source = await company.pipeline.add_source(
        config(company.url, client_id="live-client"), secrets, source_type="quickbooks"
    )

    run = await company.pipeline.sync(source)

    assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED"), run
    assert "environment" in str(run.error and run.error.hint)


async def test_another_companys_connection_is_said_to_be_that(company: CompanyRig) -> None:
    company.state.add_company("9130000000000002", "Another", TINY)
    secrets = {
        "client_secret": "sandbox-secret",
        "refresh_token": company.state.grant(realm="9130000000000002")["refresh_token"],
    }
    source = await company.pipeline.add_source(config(company.url), secrets, source_type="quickbooks")
    for status in (401, 403):
        company.state.switches = msgspec.structs.replace(company.state.switches, other_realm_status=status)

        run = await company.pipeline.sync(source)

        assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED"), run
        assert "realm_id" in str(run.error and run.error.hint)


async def test_a_token_that_is_refused_for_ever_is_refreshed_once_a_step(company: CompanyRig) -> None:
    await company.sync()
    company.state.faults.set(VendorFault(code="3200", form="fault"))
    before = len(company.state.sign_in.log.exchanges)

    run = await company.sync(entities=("vendors",))

    assert (run.status, run.error and run.error.category) == ("failed", "AUTH_FAILED")
    assert run.api_calls == 2
    assert len(company.state.sign_in.log.exchanges) == before + 1


async def test_two_sources_with_one_consent_share_its_tokens(company: CompanyRig) -> None:
    company.state.switches = msgspec.structs.replace(company.state.switches, rotate_after_hours=0, grace_hours=0)
    shared = credentials(company.state)
    sources = [
        await company.pipeline.add_source(config(company.url), shared, source_type="quickbooks") for _ in range(2)
    ]
    grant = len(company.state.tokens.grants)
    for _ in range(2):
        runs = [await company.pipeline.sync(source) for source in sources]
        assert [run.status for run in runs] == ["succeeded", "succeeded"]
        company.state.clock.advance(4_000)  # the access token ends: the next step refreshes
    assert company.state.tokens.grants[grant - 1].ended is None
    assert company.state.sign_in.log.max_in_flight() == 1
    assert company.state.sign_in.log.lost(company.state.tokens.grants) == []


async def test_tokens_are_sealed_and_in_no_table_and_leave_with_the_source(company: CompanyRig) -> None:
    await company.sync()
    admin = company.pipeline.admin
    plain = company.state.tokens.grants[-1].current
    row = await admin.fetchrow("select tokens::text as tokens from oauth_grants")
    assert row is not None
    assert plain not in row["tokens"]
    assert "eyJ" not in row["tokens"]

    await admin.execute("update external_data_sources set is_deleted = true where id = $1", company.source)

    assert await admin.fetchval("select count(*) from oauth_grants") == 0


async def test_an_address_that_the_operator_does_not_list_gets_no_credentials(company: CompanyRig) -> None:
    settings = config("https://192.0.2.1:8443", token_url=f"{company.url}/oauth2/v1/tokens/bearer")
    source = await company.pipeline.add_source(settings, credentials(company.state), source_type="quickbooks")
    arrivals = len(company.state.arrivals)

    run = await company.pipeline.sync(source)

    assert (run.status, run.error and run.error.category) == ("failed", "CONFIG_ERROR"), run
    assert "HEADRACE_EGRESS_ALLOW" in str(run.error and run.error.hint)
    assert len(company.state.arrivals) == arrivals
