"""What descriptions have in common that are built on this repository's sandboxes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.server import Behaviour
from shared.connector_sdk.conformance.description import Fault
from shared.contracts.ids import Entity

HANG_MS = 120_000.0
"""Longer than any rule runs."""

Records = Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class SandboxVendor:
    """A running sandbox as the kit's `Vendor`."""

    behaviour: Behaviour
    config: Mapping[str, Any]
    credentials: Mapping[str, Any]
    wrong_credentials: Mapping[str, Any]
    secrets: Sequence[str]
    true_records: Callable[[Entity], Records]
    change_one: Callable[[Entity], str]
    disturb_order: Callable[[Entity, Sequence[str]], None]
    field_mappings: Mapping[str, Any] = field(default_factory=dict)

    def truth(self, entity: Entity) -> Records:
        """See the port."""
        return self.true_records(entity)

    def arrivals(self) -> int:
        """See the port."""
        return len(self.behaviour.log.arrivals)

    def in_flight(self) -> int:
        """See the port."""
        return self.behaviour.log.in_flight

    def fault(self, fault: Fault | None) -> None:
        """See the port."""
        self.behaviour.faults.set(*(() if fault is None else (_rule(fault),)))

    def change(self, entity: Entity) -> str:
        """See the port."""
        return self.change_one(entity)

    def disturb(self, entity: Entity, read: Sequence[str]) -> None:
        """See the port."""
        self.disturb_order(entity, read)


def _rule(fault: Fault) -> FaultRule:
    match fault.kind:
        case "status":
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return FaultRule(kind="status", status=fault.status, headers=headers, skip=fault.after)
        case "cut":
            return FaultRule(kind="cut", skip=fault.after)
        case "cut_chunked":
            return FaultRule(kind="cut", chunked=True, skip=fault.after)
        case "hang":
            return FaultRule(kind="delay", ms=HANG_MS, skip=fault.after)
        case "drop" | "empty" | "html" | "page_loop":
            return FaultRule(kind=fault.kind, skip=fault.after)
        case _ as never:
            assert_never(never)
