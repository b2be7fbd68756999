"""Who looks on while calls are made: metrics and traces. Told a host and a status, never a path or a query."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Call:
    """One hop. `status` None: no answer came (yet)."""

    status: int | None = None


class CallWatch(Protocol):
    """Entered for each hop, redirects included, from sending until the answer's headers are there."""

    def calling(self, method: str, host: str) -> AbstractContextManager[Call]:
        """Sees the call's error, and its status at the end."""
        ...


class Unwatched:
    """Tells nobody."""

    def calling(self, method: str, host: str) -> AbstractContextManager[Call]:  # noqa: ARG002 - the port's shape
        """Ignored."""
        return nullcontext(Call())
