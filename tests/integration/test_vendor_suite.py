"""The suite against real accounts, tried on the sandboxes, and left out wherever nobody asked for it."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from finale_reports import SETS, report_url
from vendor_shell import of_shell

from sandboxes.finale.app import build_app as build_finale
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.quickbooks.app import build_app as build_quickbooks
from sandboxes.quickbooks.shop import Size as CompanySize
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.tokens import DEFAULT_REALM
from sandboxes.serving import running

ROOT = Path(__file__).parents[2]
TOKEN = "an-access-token-of-an-hour"
SHOP = Size(products=40, vendors=8, customers=2, purchase_orders=15, sales_orders=4)


async def run(*arguments: str, **variables: str) -> tuple[int, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FINALE_", "INTUIT_"))}
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "tests/vendors",
            *arguments,
        ),
        cwd=ROOT,
        env=kept | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(100):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_every_check_of_real_accounts_holds_for_the_sandboxes() -> None:
    shop, company = FinaleState(filling(SHOP)), QuickBooksState(CompanySize(items=20, vendors=8, orders=10))
    company.fix_token(TOKEN)
    async with AsyncExitStack() as stack:
        finale = await stack.enter_async_context(running(build_finale(shop)))
        intuit = await stack.enter_async_context(running(build_quickbooks(company)))
        reports = {f"FINALE_REPORT_{entity.upper()}": report_url(finale, data) for entity, data in SETS.items()}

        code, said = await run(
            *("-m", "vendor"),
            FINALE_BASE_URL=finale,
            FINALE_ACCOUNT="acme",
            FINALE_API_KEY="key",
            FINALE_API_SECRET="secret",
            FINALE_TIME_ZONE="America/New_York",
            INTUIT_BASE_URL=intuit,
            INTUIT_REALM_ID=DEFAULT_REALM,
            INTUIT_ACCESS_TOKEN=TOKEN,
            **reports,
        )

    assert code == 0, said
    assert "13 passed" in said, said
    assert {one.method for one in shop.arrivals} == {"GET", "POST"}
    assert {one.path for one in shop.arrivals if one.method == "POST"} == {"/acme/api/graphql"}


def test_without_keys_a_test_fails_and_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINALE_ACCOUNT", "acme")
    monkeypatch.delenv("FINALE_API_KEY", raising=False)
    with pytest.raises(pytest.fail.Exception, match=r"set FINALE_ACCOUNT, FINALE_API_KEY \(FINALE_API_KEY missing\)"):
        of_shell("FINALE_ACCOUNT", "FINALE_API_KEY")
    assert of_shell("FINALE_ACCOUNT") == ("acme",)


def test_make_test_leaves_it_out() -> None:
    assert '-m "not soak and not vendor"' in (ROOT / "Makefile").read_text()
    for path in (ROOT / "tests/vendors").glob("*.py"):
        assert "pytestmark = [pytest.mark.vendor" in path.read_text(), path
