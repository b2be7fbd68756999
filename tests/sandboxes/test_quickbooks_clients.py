"""The clients that people use against QuickBooks work against the sandbox, unmodified but for the address.

They are synchronous: each test runs them in a thread while the sandbox serves in this one.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from intuitlib.client import AuthClient
from intuitlib.enums import Scopes
from intuitlib.exceptions import AuthClientError
from quickbooks import QuickBooks, exceptions
from quickbooks.batch import batch_create, batch_delete, batch_update
from quickbooks.cdc import change_data_capture
from quickbooks.objects import Account, CompanyInfo, Item, PurchaseOrder, Ref, Term, Vendor
from quickbooks.objects.detailline import (
    AccountBasedExpenseLine,
    AccountBasedExpenseLineDetail,
    ItemBasedExpenseLine,
    ItemBasedExpenseLineDetail,
)
from quickbooks_rig import Rig, rig

from sandboxes.quickbooks.faults import VendorFault
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.quickbooks.webhooks import legacy

CALLBACK = "http://127.0.0.1:1/callback"


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    # the OAuth library under the client refuses http without this; the vendor has https, the sandbox has not
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    async with rig(still=False) as found:
        yield found


def auth_client(shop: Rig, **tokens: str) -> AuthClient:
    discovery = f"{shop.url}/.well-known/openid_sandbox_configuration"
    return AuthClient("sandbox-client", "sandbox-secret", CALLBACK, discovery, **tokens)


def connect(shop: Rig, **options: Any) -> QuickBooks:
    auth = auth_client(shop, access_token=shop.tokens["access_token"], refresh_token=shop.tokens["refresh_token"])
    client = QuickBooks(
        auth_client=auth, refresh_token=auth.refresh_token, company_id=DEFAULT_REALM, minorversion=75, **options
    )
    client.api_url_v3 = f"{shop.url}/v3"
    return client


def control(shop: Rig, path: str, **body: Any) -> None:
    """A thread changes the sandbox over HTTP, never behind the back of its loop."""
    requests.post(f"{shop.url}/_control/{path}", json=body, timeout=10).raise_for_status()


async def in_thread(story: Callable[[], None]) -> None:
    await asyncio.wait_for(asyncio.to_thread(story), 60)


async def test_sign_in_refresh_and_revoke(shop: Rig) -> None:
    def story() -> None:
        client = auth_client(shop)
        url = client.get_authorization_url([Scopes.ACCOUNTING])
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert "Connect" in requests.get(url, timeout=10).text
        form = {**asked, "realm": DEFAULT_REALM, "decision": "connect"}
        back = requests.post(f"{shop.url}/connect/oauth2", data=form, allow_redirects=False, timeout=10)
        found = parse_qs(urlsplit(back.headers["Location"]).query)
        assert found["state"] == [client.state_token]
        client.get_bearer_token(found["code"][0], realm_id=found["realmId"][0])
        first = (client.access_token, client.refresh_token)
        assert (client.realm_id, client.expires_in) == (DEFAULT_REALM, 3600)

        client.refresh()
        assert client.access_token != first[0]
        assert client.refresh_token == first[1]
        control(shop, "clock", seconds=86_400)
        client.refresh()
        assert client.refresh_token != first[1]
        with pytest.raises(AuthClientError) as refused:
            client.refresh(refresh_token=first[1])
        assert refused.value.status_code == 400
        assert b"invalid_grant" in refused.value.content
        assert refused.value.intuit_tid

        assert client.revoke() is True
        with pytest.raises(AuthClientError, match="400"):
            client.refresh()
        with pytest.raises(AuthClientError, match="400"):
            client.revoke(token="nothing")
        with pytest.raises(AuthClientError, match="401"):
            client.get_user_info()

    await in_thread(story)
    assert [e.outcome for e in shop.state.sign_in.log.exchanges] == [
        *("ok", "ok", "ok", "invalid_grant", "ok", "invalid_grant", "invalid_request")
    ]


async def test_read_query_and_count(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop)
        truth = shop.state.records("Item")
        item = Item.get(1, qb=client)
        assert (item.Id, item.Name, item.QtyOnHand) == ("1", truth[0]["Name"], float(truth[0]["QtyOnHand"]))
        assert len(Item.all(qb=client)) == 39
        assert len(Item.all(max_results=10, start_position=35, qb=client)) == 5
        assert Item.count(qb=client) == 39
        assert Item.count("Active IN (true, false)", qb=client) == 40
        assert [i.Id for i in Item.filter(Active=False, qb=client)] == ["25"]
        assert [i.Id for i in Item.filter(Name=truth[6]["Name"], qb=client)] == ["7"]
        assert {i.Id for i in Item.choose(["3", "4"], field="Id", qb=client)} == {"3", "4"}
        ordered = Vendor.where("Active = true", order_by="DisplayName DESC", max_results=3, qb=client)
        names = sorted((v["DisplayName"] for v in shop.state.records("Vendor")), reverse=True)
        assert [v.DisplayName for v in ordered] == names[:3]
        order = PurchaseOrder.get(2, qb=client)
        assert order.VendorRef.name == shop.state.records("PurchaseOrder")[1]["VendorRef"]["name"]
        assert CompanyInfo.get(DEFAULT_REALM, qb=client).CompanyName == "Sandbox Company"
        assert [t.Name for t in Term.all(qb=client)] == ["Due on receipt", "Net 15", "Net 30"]
        assert len(Account.all(qb=client)) == 5

    await in_thread(story)
    versions = {a.path.partition("minorversion=")[2] for a in shop.state.arrivals if a.account == DEFAULT_REALM}
    assert versions == {"75"}


async def test_create_update_and_stale(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop, use_decimal=True)
        vendor = Vendor()
        vendor.DisplayName = "Bolt Works"
        vendor = vendor.save(qb=client, request_id="v-1")
        again = Vendor()
        again.DisplayName = "Bolt Works"
        assert again.save(qb=client, request_id="v-1").Id == vendor.Id
        again.Id = None
        with pytest.raises(exceptions.QuickbooksException) as taken:
            again.save(qb=client)
        assert taken.value.error_code == 6240

        item = Item.get(1, qb=client)
        stale = Item.get(1, qb=client)
        item.UnitPrice = Decimal("1.10")
        item.Sku = "changed"
        saved = item.save(qb=client)
        assert (saved.SyncToken, saved.UnitPrice, saved.Sku) == ("1", Decimal("1.10"), "changed")
        stale.Sku = "lost"
        with pytest.raises(exceptions.QuickbooksException) as refused:
            stale.save(qb=client)
        assert refused.value.error_code == 5010
        assert Item.get(1, qb=client).Sku == "changed"

        with pytest.raises(exceptions.ObjectNotFoundException):
            Item.get(999, qb=client)
        with pytest.raises(exceptions.ValidationException) as invalid:
            Item.query("SELECT * FROM Item WHERE Odd = '1'", qb=client)
        assert invalid.value.error_code == 4001
        with pytest.raises(exceptions.UnsupportedException):
            change_data_capture([Item], "2001-01-01T00:00:00Z", qb=client)

    await in_thread(story)


async def test_an_order_of_both_kinds_of_lines(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop)
        goods, freight = ItemBasedExpenseLine(), AccountBasedExpenseLine()
        goods.Amount, goods.ItemBasedExpenseLineDetail = 105, ItemBasedExpenseLineDetail()
        goods.ItemBasedExpenseLineDetail.ItemRef = Item.get(1, qb=client).to_ref()
        goods.ItemBasedExpenseLineDetail.Qty = 500
        goods.ItemBasedExpenseLineDetail.UnitPrice = 0.21
        freight.Amount, freight.AccountBasedExpenseLineDetail = 12.5, AccountBasedExpenseLineDetail()
        freight.AccountBasedExpenseLineDetail.AccountRef = Account.get(5, qb=client).to_ref()
        order = PurchaseOrder()
        order.VendorRef = Vendor.get(1, qb=client).to_ref()
        order.APAccountRef = Ref()
        order.APAccountRef.value = "4"
        order.Line = [goods, freight]
        saved = order.save(qb=client)
        assert saved.TotalAmt == 117.5
        assert [type(line) for line in saved.Line] == [ItemBasedExpenseLine, AccountBasedExpenseLine]
        saved.POStatus = "Closed"
        assert saved.save(qb=client).POStatus == "Closed"
        saved.SyncToken = "1"
        assert saved.delete(qb=client)["PurchaseOrder"]["status"] == "Deleted"
        with pytest.raises(exceptions.ObjectNotFoundException):
            PurchaseOrder.get(saved.Id, qb=client)

    await in_thread(story)


async def test_change_data_capture(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop)
        since = datetime.now(UTC) - timedelta(minutes=5)
        control(shop, "edit/change", entity="Item", id="7", fields={"Sku": "new"})
        control(shop, "edit/delete", entity="PurchaseOrder", id="3")
        text = since.strftime("%Y-%m-%dT%H:%M:%S+00:00")
        found = change_data_capture([Vendor, Item, PurchaseOrder], text, qb=client)
        assert not hasattr(found, "Vendor")
        assert [(i.Id, i.Sku) for i in found.Item] == [("7", "new")]
        assert [(o.Id, o.status) for o in found.PurchaseOrder] == [("3", "Deleted")]

    await in_thread(story)


async def test_batches(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop)
        vendors = []
        for number in range(35):  # more than fit into one call
            vendor = Vendor()
            vendor.DisplayName = f"Batch {number}" if number else "Cool Cars"
            vendors.append(vendor)
        made = batch_create(vendors, qb=client)
        assert (len(made.successes), len(made.faults)) == (34, 1)
        assert made.faults[0].Error[0].code == "6240"
        for vendor in made.successes:
            vendor.AcctNum = "B-1"
        changed = batch_update(made.successes, qb=client)
        assert {vendor.SyncToken for vendor in changed.successes} == {"1"}
        orders = PurchaseOrder.all(max_results=2, qb=client)
        assert len(batch_delete(orders, qb=client).successes) == 2
        assert PurchaseOrder.count(qb=client) == 23

    await in_thread(story)
    assert len(shop.state.records("Vendor")) == 42


async def test_expired_tokens_throttling_and_broken_answers(shop: Rig) -> None:
    def story() -> None:
        client = connect(shop)
        control(shop, "clock", seconds=3600)
        with pytest.raises(exceptions.AuthorizationException) as expired:
            Item.get(1, qb=client)
        assert "Token expired" in expired.value.detail
        client.auth_client.refresh()
        fresh = QuickBooks(auth_client=client.auth_client, company_id=DEFAULT_REALM, minorversion=75)
        fresh.api_url_v3 = client.api_url_v3
        assert Item.get(1, qb=fresh).Id == "1"
        shop.state.faults.set(VendorFault(form="html", count=1), VendorFault(code="6190", status=200, count=1))
        for code in (10000, 6190):
            with pytest.raises(exceptions.QuickbooksException) as broken:
                Item.get(1, qb=fresh)
            assert broken.value.error_code == code
        for body, code in (("xml", 10000), ("Fault", 3001)):
            shop.state.switches = Switches(realm_limits=((1, 60.0),), throttle_body=body)
            with pytest.raises(exceptions.QuickbooksException) as throttled:
                Item.get(1, qb=fresh)
            assert throttled.value.error_code == code
            assert "ThrottleExceeded" in str(throttled.value)

    await in_thread(story)


async def test_its_check_of_webhook_signatures(shop: Rig) -> None:
    changes: list[Any] = []
    shop.state.company().on_change.append(lambda realm, change: changes.append((realm, change)))
    shop.state.change("Item", "7", {"Sku": "new"})
    body = legacy(changes)
    signature = base64.b64encode(hmac.new(b"v-token", body, hashlib.sha256).digest()).decode()

    def story() -> None:
        client = connect(shop, verifier_token="v-token")
        assert client.validate_webhook_signature(body.decode(), signature)
        assert not client.validate_webhook_signature(body.decode() + " ", signature)

    await in_thread(story)


async def test_a_company_of_real_size_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    async with rig(Size(items=7800, vendors=300, orders=2000), still=False) as shop:

        def story() -> None:
            client = connect(shop)
            for kind, count in ((Item, 7800), (Vendor, 300), (PurchaseOrder, 2000)):
                where = "" if kind is PurchaseOrder else "WHERE Active IN (true, false) "
                found: list[str] = []
                for start in range(1, count + 1, 1000):
                    page = f"SELECT * FROM {kind.__name__} {where}ORDERBY Id STARTPOSITION {start} MAXRESULTS 1000"
                    found += [record.Id for record in kind.query(page, qb=client)]
                assert found == [str(number) for number in range(1, count + 1)]

        await in_thread(story)
