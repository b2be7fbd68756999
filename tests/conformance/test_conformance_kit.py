"""How the kit is run: descriptions found, exemptions shown, and a connector that fails in its own way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sample import kit_of_sample
from services.cli.conformance.running import kit_for, kit_of, map_records
from shared.connector_sdk.conformance.checking import Kit
from shared.connector_sdk.conformance.description import Conformance, Setup, Vendor, find_description
from shared.connectors.json_api.source import CONNECTOR
from shared.errors import ConfigurationError, StartupError


async def test_an_exemption_is_shown_with_its_reason(tmp_path: Path) -> None:
    with kit_of_sample(tmp_path, (), "exempt_sample", {"loop_caught": "the shop cannot loop"}) as kit:
        result = await kit.check("loop_caught")

    assert (result.outcome, result.detail) == ("exempt", "the shop cannot loop")


@pytest.mark.parametrize("exempt", [{"no_such_rule": "why"}, {"loop_caught": " "}])
def test_an_exemption_names_a_rule_and_a_reason(exempt: dict[str, str]) -> None:
    setups = find_description("json_api", "services.cli.conformance").setups

    with pytest.raises(ConfigurationError, match="a rule's name and a reason"):
        Kit(CONNECTOR, Conformance(setups, exempt), map_records)


async def test_an_error_that_is_none_of_ours_fails_without_its_text(tmp_path: Path) -> None:
    edit = ("source.py", "        params = (*_PAGING", '        {}["hidden-value"]\n        params = (*_PAGING')

    with kit_of_sample(tmp_path, (edit,), "odd_sample") as kit:
        result = await kit.check("whole_read")

    assert result.outcome == "failed"
    assert "KeyError at source.py:" in result.detail
    assert "hidden-value" not in result.detail


async def test_a_stand_in_that_never_starts_is_a_failure() -> None:
    @asynccontextmanager
    async def never() -> AsyncIterator[Vendor]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")
        yield

    kit = Kit(CONNECTOR, Conformance({"stuck": Setup(never)}), map_records, rule_seconds=0.05)

    assert (await kit.check("whole_read")).detail == "stuck: not done within 0.05 s"


def test_a_connector_without_a_description_is_told_how_to_give_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_description("json_api", "services.cli")

    assert "headrace.conformance" in caught.value.hint


def test_what_is_no_description_stops_the_kit() -> None:
    """`sandboxed` lies beside the descriptions and is none."""
    with pytest.raises(StartupError, match="cannot be loaded"):
        find_description("sandboxed", "services.cli.conformance")


def test_an_unknown_connector_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        kit_of("nobody")

    assert "json_api" in caught.value.hint


def test_rules_come_in_one_order() -> None:
    names: Sequence[str] = list(kit_for(CONNECTOR).rules)

    assert names[0] == "spec_declared"
    assert names[-1] == "secrets_hidden"
