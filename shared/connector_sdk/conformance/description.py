"""What a connector gives the kit: a stand-in of its vendor that can be seeded, watched and broken.

A built-in connector's description lies in a module named after its source type; a package outside this repository names
its own by an entry point of the group `headrace.conformance`: the source type, and the `Conformance` object.
"""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

from shared.connector_sdk.credentials import Secrets, apply
from shared.contracts.ids import Entity
from shared.errors import ConfigurationError, StartupError

ENTRY_POINTS = "headrace.conformance"

FaultKind = Literal[
    "status",  # answer `status`, with Retry-After where `retry_after` is set
    "drop",  # close the connection before any answer
    "cut",  # a Content-Length, half of the body, then close
    "cut_chunked",  # chunks up to half of the body, then close without the last one
    "empty",  # 200 without a body
    "html",  # 200 with a login page
    "hang",  # take the request and answer nothing for longer than a test lasts
    "page_loop",  # each page names itself, or one read before, as the next
]


@dataclass(frozen=True, slots=True)
class Fault:
    """After `after` requests that are answered well, all others have the fault."""

    kind: FaultKind
    after: int = 0
    status: int = 500
    retry_after: int | None = None
    """Seconds."""


class Vendor(Protocol):
    """One stand-in that answers, on loopback, with the same data after every start."""

    @property
    def config(self) -> Mapping[str, Any]:
        """A source's `config` that reads from this stand-in, as its user would write it."""
        ...

    @property
    def credentials(self) -> Mapping[str, Any]:
        """Credentials that it accepts."""
        ...

    @property
    def wrong_credentials(self) -> Mapping[str, Any]:
        """Credentials of the same form that it refuses."""
        ...

    @property
    def secrets(self) -> Collection[str]:
        """What in both must never be shown; each at least 8 characters long."""
        ...

    @property
    def field_mappings(self) -> Mapping[str, Any]:
        """The user's `field_mappings`; empty where the connector's own defaults are meant to do."""
        ...

    def truth(self, entity: Entity) -> Mapping[str, Mapping[str, Any]]:
        """Every record the vendor has now, by external id: of each, the fields that a read must give unaltered."""
        ...

    def arrivals(self) -> int:
        """Requests that came so far, refused ones too."""
        ...

    def in_flight(self) -> int:
        """Requests under way."""
        ...

    def fault(self, fault: Fault | None) -> None:
        """Put this fault in the place of any other; None ends them. The count of `after` starts here."""
        ...

    def change(self, entity: Entity) -> str:
        """Change a record now, as the vendor's own users do; returns its external id."""
        ...

    def disturb(self, entity: Entity, read: Sequence[str]) -> None:
        """What may happen between two pages: remove one of the records in `read`, move another in the order."""
        ...


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to configure a source. Rules run on each, on a stand-in of their own."""

    start: Callable[[], AbstractAsyncContextManager[Vendor]]
    secrets_of: Callable[[Any], Secrets] = apply
    """What validated credentials add to a call, where that is not for themselves to say (a token to fetch first)."""


@dataclass(frozen=True, slots=True)
class Conformance:
    """A connector's description."""

    setups: Mapping[str, Setup]
    """By name, at least one; together they should show every way in which the connector reads."""
    exempt: Mapping[str, str] = field(default_factory=dict)
    """Rule to the reason why it cannot hold for this connector: shown wherever the result is."""


def find_description(source_type: str, package: str, group: str = ENTRY_POINTS) -> Conformance:
    """`CONFORMANCE` of `package.<source_type>`, else the entry point of that name.

    Raises ConfigurationError when there is none, StartupError for one that cannot be loaded or says nothing.
    """
    module = f"{package}.{source_type}"
    try:
        found = _built_in(module) or next((point.load() for point in entry_points(group=group, name=source_type)), None)
    except (ImportError, AttributeError) as error:
        raise StartupError(f"the conformance description of {source_type} cannot be loaded: {error}") from error
    if found is None:
        raise ConfigurationError(
            f"connector {source_type} has no conformance description",
            hint=f"Give its package an entry point {source_type!r} of the group {group!r}.",
        )
    if not isinstance(found, Conformance) or not found.setups:
        raise StartupError(f"the conformance description of {source_type} is no Conformance with a setup")
    return found


def _built_in(module: str) -> Any:
    try:
        return importlib.import_module(module).CONFORMANCE
    except ModuleNotFoundError as error:
        if error.name == module:
            return None
        raise
