"""Connecting a company at its own page: there with a state, back with a code, and what each wrong turn says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from consent_rig import ConsentRig, Page, consent_rig

from pipeline import Pipeline, eventually
from sandboxes.quickbooks.faults import ExchangeFault
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.tokens import DEFAULT_REALM, SCOPE
from shared.connectors.quickbooks.config import AUTHORIZE_URL
from shared.contracts.ids import SourceId
from shared.contracts.messages import ConsentReply, ConsentRequested, decode, encode
from shared.messaging.ports import Message
from shared.storage import consents

CLIENT_SECRETS = ("sandbox-secret", "wrong-canary")


@pytest.fixture
async def rig(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> AsyncIterator[ConsentRig]:
    """Whatever was logged holds no secret either."""
    async with consent_rig(pipeline) as running:
        yield running
    logged = "".join(capfd.readouterr())
    assert [secret for secret in (*running.secrets(), *CLIENT_SECRETS) if secret in logged] == []


async def unconnected(rig: ConsentRig, source: SourceId, page: Page, status: int, said: str) -> None:
    """A page that says what is wrong and what to do, and a source as it was."""
    assert (page.status, said in page.text) == (status, True), page.text
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<script" not in page.text
    assert "onnect it again" in page.text or "onnect again" in page.text, page.text
    row = await rig.source(source)
    assert "realm_id" not in row["config"]
    assert row["credentials_set"] == ["client_secret"]
    assert await rig.pipeline.admin.fetchval("select count(*) from audit_log") == 0


async def exchanges(rig: ConsentRig) -> int:
    return len(rig.state.sign_in.log.exchanges)


async def test_a_consent_makes_a_source_that_syncs(rig: ConsentRig) -> None:
    source = await rig.add_source()
    before = await rig.pipeline.sync(source, entities=("vendors",))
    assert before.status == "failed"
    async with rig.browser() as browser:
        page = await browser.connect(source)
        assert (page.status, "The source is connected." in page.text) == (200, True), page.text
        assert "headrace_consent" not in {cookie.key for cookie in browser.http.cookie_jar}
    row = await rig.source(source)
    assert json.loads(row["config"])["realm_id"] == DEFAULT_REALM
    assert row["credentials_set"] == ["client_secret", "refresh_token"]
    run = await rig.pipeline.sync(source, entities=("vendors",))
    assert run.status == "succeeded", run
    assert len(await rig.pipeline.rows("vendors", source)) == len(rig.state.records("Vendor"))
    entry = await rig.pipeline.admin.fetchrow("select * from audit_log where action = 'source.consented'")
    assert entry is not None
    assert (entry["user_id"], entry["object_id"], entry["actor_id"]) == (
        rig.pipeline.user_id, str(source), str(rig.pipeline.user_id)
    )  # fmt: skip
    assert json.loads(entry["details"]) == {"account_changed": True}
    for table in ("oauth_states", "oauth_codes"):
        assert await rig.pipeline.admin.fetchval(f"select count(*) from {table}") == 0


async def test_the_vendor_is_asked_for_what_it_knows(rig: ConsentRig) -> None:
    source = await rig.add_source()
    ours = await rig.add_source(token_url=None, base_url=None)
    async with rig.browser() as browser:
        await browser.sign_in()
        address = urlsplit((await browser.start(source)).location)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        theirs = (await browser.start(ours)).location
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{rig.company}/connect/oauth2"
    state = asked.pop("state")
    assert len(state) >= 40
    assert asked == {
        "client_id": "sandbox-client",
        "response_type": "code",
        "scope": SCOPE,
        "redirect_uri": f"{rig.gateway}/oauth/quickbooks/callback",
    }
    assert theirs.startswith(f"{AUTHORIZE_URL}?client_id=sandbox-client&")
    stored = await rig.pipeline.admin.fetch("select row_to_json(o)::text from oauth_states o")
    assert state not in str(stored)


async def test_a_state_is_good_once(rig: ConsentRig) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser:
        await browser.sign_in()
        back = await browser.decide((await browser.start(source)).location, decision="cancel")
        await unconnected(rig, source, await browser.get(back), 400, "not allowed")
        again = back.replace("error=access_denied", f"code=x&realmId={DEFAULT_REALM}")
        await unconnected(rig, source, await browser.get(again), 400, "was used already")
    assert await exchanges(rig) == 0


async def test_a_state_ends_after_ten_minutes(rig: ConsentRig) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser:
        await browser.sign_in()
        back = await browser.decide((await browser.start(source)).location)
        left = await rig.pipeline.admin.fetchval("select expires_at - now() from oauth_states")
        assert 590 < left.total_seconds() <= 600
        await rig.pipeline.admin.execute("update oauth_states set expires_at = now()")
        await unconnected(rig, source, await browser.get(back), 400, "longer than ten minutes")
    async with rig.pipeline.databases["scheduler"].transaction() as conn:
        await consents.forget_old(conn)
    assert await rig.pipeline.admin.fetchval("select count(*) from oauth_states") == 0


async def test_only_the_browser_that_began_may_come_back(rig: ConsentRig) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser, rig.browser() as blank, rig.browser() as twin, rig.stranger() as stranger:
        await browser.sign_in()
        await twin.sign_in()
        back = await browser.decide((await browser.start(source)).location)
        for other in (blank, stranger, twin):
            await unconnected(rig, source, await other.get(back), 400, "not begun here")
        assert await exchanges(rig) == 0
        # Nobody else's try has spent it.
        assert (await browser.get(back)).status == 200


@pytest.mark.parametrize("query", ["", "?state=made-up&code=made-up&realmId=1"])
async def test_a_link_with_another_state_ends_no_consent(rig: ConsentRig, query: str) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser:
        back = await browser.decide((await browser.start(source, **browser.bearer)).location)
        lured = await browser.get(f"{rig.gateway}/oauth/quickbooks/callback{query}")
        await unconnected(rig, source, lured, 400, "not begun here")
        assert (await browser.get(back)).status == 200


async def test_a_bearer_token_begins_with_a_cookie_of_its_own(rig: ConsentRig) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser, rig.browser() as blank:
        begun = await browser.start(source, **browser.bearer)
        assert begun.status == 302
        (morsel,) = list(browser.http.cookie_jar)
        assert (morsel.key, morsel["path"], morsel["httponly"], morsel["samesite"]) == (
            "headrace_consent", "/oauth/quickbooks", True, "lax"
        )  # fmt: skip
        back = await browser.decide(begun.location)
        wrong = {"Cookie": f"headrace_consent={morsel.value[:-6]}AAAAAA"}
        await unconnected(rig, source, await blank.get(back), 400, "not begun here")
        await unconnected(rig, source, await blank.get(back, **wrong), 400, "not begun here")
        assert (await browser.get(back)).status == 200


async def test_who_may_begin(rig: ConsentRig) -> None:
    source = await rig.add_source()
    other = await rig.pipeline.add_source({"entities": {"inventory": {"url": "http://127.0.0.1:1/", "id_path": "id"}}})
    async with rig.browser() as browser, rig.stranger() as stranger:
        assert (await browser.start(source)).status == 401
        assert (await stranger.start(source)).status == 404
        assert (await browser.start(uuid4(), **browser.bearer)).status == 404
        refused = await browser.start(other, **browser.bearer)
        assert (refused.status, "not of QuickBooks" in refused.text) == (422, True)
        for scope, status in (("read", 403), ("write", 302)):
            async with browser.http.post(
                f"{rig.gateway}/api/tokens", json={"name": scope, "scopes": [scope]}, headers=browser.bearer
            ) as made:
                token = (await made.json())["token"]
            assert (await browser.start(source, Authorization=f"Bearer {token}")).status == status
        far = await browser.start(source, **browser.bearer, Host="headrace.example.com")
        assert (far.status, "HEADRACE_PUBLIC_URL" in far.text) == (409, True)


async def test_nobody_is_sent_where_the_operator_does_not_allow_it(pipeline: Pipeline) -> None:
    async with consent_rig(pipeline, egress_allow="") as rig:
        source = await rig.add_source()
        async with rig.browser() as browser:
            page = await browser.start(source, **browser.bearer)
    assert (page.status, "not an address of QuickBooks" in page.text) == (422, True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("error=access_denied", "not allowed"),
        ("error=invalid_scope", "refused the connection (invalid_scope)"),
        ("error=%3Cb%3Ebold", "refused the connection."),
        (f"realmId={DEFAULT_REALM}", "no code"),
        ("code=x&realmId=12a", "which company"),
        ("code=x", "which company"),
        (f"code={'x' * 2001}&realmId=1", "no code"),
    ],
)
async def test_what_the_vendor_sends_back_instead(rig: ConsentRig, query: str, said: str) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser:
        await browser.sign_in()
        state = parse_qs(urlsplit((await browser.start(source)).location).query)["state"][0]
        page = await browser.get(f"{rig.gateway}/oauth/quickbooks/callback?{query}&state={state}")
        await unconnected(rig, source, page, 400, said)
    assert "<b>" not in page.text
    assert await exchanges(rig) == 0


async def test_a_wrong_secret_of_the_app_is_named(rig: ConsentRig) -> None:
    source = await rig.add_source(client_secret="wrong-canary")
    async with rig.browser() as browser:
        page = await browser.connect(source)
    assert (page.status, "client_id or client_secret is wrong" in page.text) == (400, True)
    assert "wrong-canary" not in page.text
    assert (await rig.source(source))["credentials_set"] == ["client_secret"]
    assert await rig.pipeline.admin.fetchval("select count(*) from oauth_codes") == 0


@pytest.mark.parametrize("kind", ["drop", "status"])
async def test_a_vendor_that_is_away_changes_nothing(rig: ConsentRig, kind: Any) -> None:
    source = await rig.add_source()
    rig.state.sign_in.faults.set(ExchangeFault(kind=kind, status=503))
    async with rig.browser() as browser:
        await unconnected(rig, source, await browser.connect(source), 502, "Not connected")
        rig.state.sign_in.faults.set()
        assert (await browser.connect(source)).status == 200


async def test_a_code_that_is_not_good_is_told_plainly(rig: ConsentRig) -> None:
    source = await rig.add_source()
    async with rig.browser() as browser:
        await browser.sign_in()
        back = await browser.decide((await browser.start(source)).location)
        spoiled = back.replace("code=XAB", "code=YAB")
        await unconnected(rig, source, await browser.get(spoiled), 400, "did not accept the sign-in&#x27;s code")


async def test_a_source_that_changes_meanwhile_keeps_the_change(rig: ConsentRig) -> None:
    source = await rig.add_source()
    rig.state.sign_in.faults.set(ExchangeFault(kind="hold", when="after", count=1))
    async with rig.browser() as browser:
        await browser.sign_in()
        back = await browser.decide((await browser.start(source)).location)
        code = parse_qs(urlsplit(back).query)["code"][0]

        coming = asyncio.create_task(browser.get(back))
        await eventually(lambda: exchanges(rig), lambda found: found == 1, within=10)
        row = await rig.pipeline.admin.fetchval("select row_to_json(c)::text from oauth_codes c")
        assert code not in row
        await rig.pipeline.admin.execute(
            'update external_data_sources set config = config || \'{"environment": "production"}\' where id = $1',
            source,
        )
        rig.state.sign_in.gate.set()
        await unconnected(rig, source, await coming, 400, "was changed while")


async def test_a_message_that_comes_again_shows_no_code_twice(rig: ConsentRig) -> None:
    source = await rig.add_source()
    rig.state.sign_in.faults.set(ExchangeFault(kind="hold", when="after", count=1))
    async with rig.browser() as browser:
        coming = asyncio.create_task(browser.connect(source))
        await eventually(lambda: exchanges(rig), lambda found: found == 1, within=10)
        request = ConsentRequested(consent_id=await rig.pipeline.admin.fetchval("select id from oauth_codes"))
        again = await rig.pipeline.bus.request("probe", Message(request.KIND, encode(request)), timeout=10)
        reply = decode(ConsentReply, again.body)
        assert (reply.ok, "used already" in reply.message) == (False, True)
        rig.state.sign_in.gate.set()
        assert (await coming).status == 200
    assert await exchanges(rig) == 1


async def test_another_company_waits_for_the_run_of_the_one_before(rig: ConsentRig) -> None:
    source = await rig.add_source()
    rig.state.add_company("9130000000000002", "Another", Size(1, 1, 1))
    async with rig.browser() as browser:
        assert (await browser.connect(source)).status == 200
        await rig.pipeline.admin.execute(
            "insert into sync_runs (source_id, user_id, source_type, trigger) "
            "select id, user_id, source_type, 'manual' from external_data_sources where id = $1",
            source,
        )
        page = await browser.connect(source, realm="9130000000000002")
        assert (page.status, "A run still reads another company." in page.text) == (409, True)
        assert await exchanges(rig) == 1
        assert (await browser.connect(source)).status == 200


@pytest.mark.parametrize(("realm", "left"), [(DEFAULT_REALM, 1), ("9130000000000002", 0)])
async def test_marks_are_forgotten_with_the_company_alone(rig: ConsentRig, realm: str, left: int) -> None:
    source = await rig.add_source()
    rig.state.add_company("9130000000000002", "Another", Size(1, 1, 1))
    async with rig.browser() as browser:
        assert (await browser.connect(source)).status == 200
        await rig.pipeline.admin.execute(
            "insert into sync_cursors (source_id, entity, user_id, changed_until) values ($1, 'vendors', $2, now())",
            source, rig.pipeline.user_id,
        )  # fmt: skip
        assert (await browser.connect(source, realm=realm)).status == 200
    assert await rig.pipeline.admin.fetchval("select count(*) from sync_cursors") == left
    assert json.loads((await rig.source(source))["config"])["realm_id"] == realm
