"""Runs the rules. Needs no test framework: `headrace connectors check` and the test suite both come here."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from shared.clock import Clock, SystemClock
from shared.connector_sdk.conformance.calling import CALLING
from shared.connector_sdk.conformance.declaring import declaring
from shared.connector_sdk.conformance.description import Conformance
from shared.connector_sdk.conformance.failing import FAILING
from shared.connector_sdk.conformance.reading import READING
from shared.connector_sdk.conformance.rule import MapRecords, Outcome, Result, Rule
from shared.connector_sdk.conformance.workbench import BrokenError, ExemptError, workbench
from shared.connector_sdk.protocol import Connector
from shared.errors import ConfigurationError, HeadraceError

RULE_SECONDS = 60.0


def rules(map_records: MapRecords) -> Mapping[str, Rule]:
    """All rules by name, in the order in which one would mend them."""
    return {rule.name: rule for rule in (*declaring(map_records), *READING, *FAILING, *CALLING)}


class Kit:
    """One connector with its description."""

    def __init__(
        self,
        connector: Connector,
        description: Conformance,
        map_records: MapRecords,
        *,
        clock: Clock | None = None,
        rule_seconds: float = RULE_SECONDS,
    ) -> None:
        """`rule_seconds`: for one rule on one setup.

        Raises ConfigurationError for an exemption that names no rule or gives no reason.
        """
        self._connector = connector
        self._description = description
        self._clock = clock or SystemClock()
        self._rule_seconds = rule_seconds
        self.rules = rules(map_records)
        for name, reason in description.exempt.items():
            if name not in self.rules or not reason.strip():
                raise ConfigurationError(f"the description exempts {name!r}: a rule's name and a reason are due")

    async def check_all(self) -> AsyncIterator[Result]:
        """Every rule's result as it comes."""
        for name in self.rules:
            yield await self.check(name)

    async def check(self, name: str) -> Result:
        """One rule on every setup: fails with the first that fails, exempt where it has nothing to say on any."""
        rule = self.rules[name]
        started = time.perf_counter()
        outcome, detail = await self._outcome(rule)
        return Result(rule.name, rule.meaning, outcome, detail, time.perf_counter() - started)

    async def _outcome(self, rule: Rule) -> tuple[Outcome, str]:
        if rule.name in self._description.exempt:
            return "exempt", self._description.exempt[rule.name]
        reasons: list[str] = []
        for name in self._description.setups:
            try:
                await self._on(rule, name)
            except BrokenError as broken:
                return "failed", f"{name}: {broken}"
            except ExemptError as exempt:
                reasons.append(str(exempt))
            except TimeoutError:
                return "failed", f"{name}: not done within {self._rule_seconds:g} s"
            except HeadraceError as error:
                return "failed", f"{name}: {type(error).__name__}: {error.message}"
            except Exception as error:  # noqa: BLE001 - a connector may fail in any way; its text may hold anything
                return "failed", f"{name}: {type(error).__name__} at {_place(error)}, where an error of ours was due"
        return ("exempt", reasons[0]) if len(reasons) == len(self._description.setups) else ("passed", "")

    async def _on(self, rule: Rule, name: str) -> None:
        async with (
            asyncio.timeout(self._rule_seconds),
            workbench(self._connector, self._description.setups[name], self._clock) as bench,
        ):
            await rule.check(bench)


def _place(error: Exception) -> str:
    """File and line, without what the line held."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
