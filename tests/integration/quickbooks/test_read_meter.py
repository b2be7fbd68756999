"""Reads that QuickBooks counts by the month: ours are counted as they are made, and never fewer."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from company_rig import CompanyRig

from pipeline import eventually
from sandboxes.behaviour.faults import FaultRule
from sandboxes.quickbooks.faults import VendorFault
from sandboxes.quickbooks.tokens import DEFAULT_REALM


async def metered(company: CompanyRig) -> dict[str, Any]:
    rows = await company.pipeline.admin.fetch(
        "select account, pool, to_char(month, 'YYYY-MM') as month, sum(reads)::int as reads from read_meters "
        "group by 1, 2, 3"
    )
    (row,) = rows  # one account, one month
    return dict(row)


def arrived(company: CompanyRig) -> int:
    return sum(arrival.account != "sign-in" for arrival in company.state.arrivals)


async def test_each_data_call_is_counted_once_and_a_sign_in_never(company: CompanyRig) -> None:
    run = await company.sync()
    another = await company.another_source()
    await company.pipeline.sync(another)
    await company.sync()

    found = await metered(company)

    assert found["reads"] == arrived(company) > run.api_calls
    assert found["account"] == f"quickbooks|{company.url}|{DEFAULT_REALM}"
    assert found["pool"] == "quickbooks|sandbox-client"
    assert found["month"] == datetime.now(ZoneInfo("America/Los_Angeles")).strftime("%Y-%m")
    by_source = await company.pipeline.admin.fetch("select source_id, reads from read_meters")
    assert {row["source_id"] for row in by_source} == {company.source, another}


async def test_a_call_that_comes_to_nothing_counts_and_so_does_its_repeat(company: CompanyRig) -> None:
    """The vendor may have counted it too."""
    company.state.faults.set(
        VendorFault(code="3200", form="fault", status=401, count=1), VendorFault(form="drop", skip=2, count=1)
    )

    run = await company.sync()

    assert run.status == "succeeded", run
    assert (await metered(company))["reads"] == arrived(company) == run.api_calls > 5


async def test_a_read_is_counted_before_it_is_made(company: CompanyRig) -> None:
    """So a worker that dies in the call has counted it, and no crash makes the meter show less than the vendor's."""
    company.state.behaviour.faults.set(FaultRule(kind="delay", ms=2_000, path="/v3/", count=1))
    run_id = await company.pipeline.ask(company.source, entities=("vendors",))
    counted = "select sum(reads)::int from read_meters"
    assert await eventually(lambda: company.pipeline.admin.fetchval(counted), bool, within=10) == 1
    assert (await company.pipeline.view(run_id)).api_calls == 0, "it is still under way"
    assert (await company.pipeline.finish(run_id)).status == "succeeded"
