"""Every connector of this product keeps every rule of the conformance kit, or says why it cannot."""

import pytest

from services.cli.conformance.running import kit_for, known, map_records
from shared.connector_sdk.conformance.checking import rules
from shared.connector_sdk.registry import PACKAGE, discover

BUILT_IN = tuple(discover(PACKAGE, "no.such.group").specs())
CASES = [pytest.param(name, rule, id=f"{name}-{rule}") for name in BUILT_IN for rule in rules(map_records)]
SILENT = {
    "csv_api": {"resume_anywhere", "stable_paging", "loop_caught", "incremental_read"},
    "finale_inventory": {"loop_caught", "spool_streams"},
    "json_api": {"spool_streams"},
    "quickbooks": {"loop_caught", "spool_streams"},
}
"""Rules that have nothing to say of a connector. An exemption that comes or goes is a change to be seen in review."""


@pytest.mark.parametrize(("name", "rule"), CASES)
async def test_a_connector_keeps_the_rule(name: str, rule: str) -> None:
    """A connector without a description fails each of these."""
    result = await kit_for(known()[name]).check(rule)

    assert result.outcome != "failed", result.detail
    assert (result.outcome == "exempt") == (rule in SILENT.get(name, set())), result.detail
