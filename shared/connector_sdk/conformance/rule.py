"""What a rule is, and what checking it yields."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.connector_sdk.conformance.workbench import Workbench
from shared.contracts.ids import Entity
from shared.contracts.mapping import EntityMapping
from shared.contracts.messages import RawRecord

Outcome = Literal["passed", "failed", "exempt"]

MapRecords = Callable[[Entity, EntityMapping, Sequence[RawRecord]], Sequence[str]]
"""The mapping engine: why each rejected record was rejected. Raises MappingError for a mapping that cannot be used.

It belongs to the transformer, which nothing in `shared` may know, so it is handed in."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` returns when the rule holds; raises BrokenError when not, ExemptError where it says nothing."""

    name: str
    meaning: str
    """One line."""
    check: Callable[[Workbench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """`detail`: where it failed, or why it is exempt."""

    rule: str
    meaning: str
    outcome: Outcome
    detail: str
    seconds: float
