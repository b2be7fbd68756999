"""The exact log of token requests: when each came and was answered, what it showed and what it was given."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from sandboxes.quickbooks.tokens import Grant


@dataclass(slots=True)
class Exchange:
    """One request at the token or the revocation endpoint. Times are seconds of the steady clock."""

    began: int
    """Its place in the order of all beginnings and ends: exact, even when the clock stands still."""
    arrived: float
    grant_type: str = ""
    """`authorization_code`, `refresh_token` or `revoke`."""
    client_id: str = ""
    grant: int | None = None
    """The number of the consent; None when what was shown belongs to none."""
    shown: int | None = None
    """The generation of the refresh token that was shown."""
    issued: int | None = None
    """The generation of the refresh token in the reply, whether the reply arrived or not."""
    outcome: str = "cut off"
    """`ok`, the OAuth error, or `fault`."""
    status: int = 0
    """What the caller got; 0: nothing."""
    left: float | None = None
    """When the last byte was sent or the connection was gone; None: neither yet."""
    working: bool = False
    """The vendor is still at it, though its caller may be gone."""
    ended: int | None = None
    """The place of its end in the order: answered or abandoned, and the work done; None: in flight."""


class ExchangeLog:
    """Every exchange since the start or the last reset, in order of arrival."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._order = count()
        self.exchanges: list[Exchange] = []

    def enter(self) -> Exchange:
        """A request came."""
        entry = Exchange(next(self._order), self._steady())
        self.exchanges.append(entry)
        return entry

    def leave(self, entry: Exchange, status: int) -> None:
        """Its answer is sent, or its connection gone (0)."""
        entry.status, entry.left = status, self._steady()
        if not entry.working:
            entry.ended = next(self._order)

    def work_done(self, entry: Exchange) -> None:
        """The tokens are changed or not; what was abandoned before ends now."""
        entry.working = False
        if entry.left is not None:
            entry.ended = next(self._order)

    def max_in_flight(self, grant: int | None = None) -> int:
        """The most exchanges that were in flight at once, of one grant or of the worst."""
        numbers = {entry.grant for entry in self.exchanges if entry.grant is not None} if grant is None else {grant}
        return max((self._worst(number) for number in numbers), default=0)

    def _worst(self, grant: int) -> int:
        steps: list[tuple[int, int]] = []
        for entry in self.exchanges:
            if entry.grant == grant:
                steps.append((entry.began, 1))
                if entry.ended is not None:
                    steps.append((entry.ended, -1))
        worst = now = 0
        for _, step in sorted(steps):
            now += step
            worst = max(worst, now)
        return worst

    def lost(self, grants: list[Grant]) -> list[int]:
        """The grants that are over, or whose current refresh token no caller ever got."""
        told: dict[int, int] = {}
        for entry in self.exchanges:
            if entry.grant is not None and entry.issued is not None and entry.status == 200:
                told[entry.grant] = max(told.get(entry.grant, 0), entry.issued)
        return [
            grant.number
            for grant in grants
            if grant.current and (grant.ended is not None or told.get(grant.number, 1) < grant.generation)
        ]

    def report(self, grants: list[Grant]) -> dict[str, Any]:
        """What the control endpoint answers; no token is in it."""
        return {
            "exchanges": [asdict(entry) for entry in self.exchanges],
            "max_in_flight": self.max_in_flight(),
            "lost": self.lost(grants),
            "grants": [
                {
                    "grant": grant.number,
                    "client_id": grant.client_id,
                    "realm": grant.realm,
                    "generation": grant.generation if grant.current else 0,
                    "ended": grant.ended,
                }
                for grant in grants
            ],
        }
