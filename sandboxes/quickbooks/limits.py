"""The vendor's limits: per realm, and per app in a realm; every arrival counts, refused ones too."""

from collections import Counter
from collections.abc import Callable

from sandboxes.behaviour.limits import Arrival, ArrivalLog, Limits
from sandboxes.quickbooks.switches import Switches, Windows


class RealmLimits:
    """The windows of one server. All times are seconds of the steady clock."""

    def __init__(self, steady: Callable[[], float], switches: Callable[[], Switches]) -> None:
        self._steady = steady
        self._switches = switches
        self.in_flight: Counter[str] = Counter()
        """Requests that are being answered, by `realm/app`."""
        self.max_in_flight: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Forget all arrivals."""
        self.realms, self.apps = ArrivalLog(self._steady), ArrivalLog(self._steady)
        self.batch_realms, self.batch_apps = ArrivalLog(self._steady), ArrivalLog(self._steady)
        self.max_in_flight.clear()

    def realm(self, realm: str, *, batch: bool) -> float:
        """Count an arrival, whoever sent it; seconds until the realm may be called again, 0.0 when it may now."""
        switches = self._switches()
        wait = self._count(self.realms, realm, switches.realm_limits)
        return max(wait, self._count(self.batch_realms, realm, switches.batch_realm_limits)) if batch else wait

    def app(self, account: str, *, batch: bool) -> float:
        """Count an arrival of an app (`realm/app`) and that it is in flight; the wait as above."""
        switches = self._switches()
        self.in_flight[account] += 1
        self.max_in_flight[account] = max(self.max_in_flight[account], self.in_flight[account])
        wait = self._count(self.apps, account, switches.app_limits)
        if batch:
            wait = max(wait, self._count(self.batch_apps, account, switches.batch_app_limits))
        if switches.concurrency is not None and self.in_flight[account] > switches.concurrency:
            wait = max(wait, 1.0)
        return wait

    def leave(self, account: str) -> None:
        """A request of the app is answered, or its connection gone."""
        self.in_flight[account] -= 1

    @staticmethod
    def _count(log: ArrivalLog, account: str, windows: Windows) -> float:
        arrival: Arrival = log.enter(account, "", "")
        return log.wait(arrival, Limits(windows)) if windows else 0.0
