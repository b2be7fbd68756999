"""One Finale account: its data, which tests may change, its switches and its behaviour."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.limits import Arrival
from sandboxes.behaviour.server import Behaviour
from sandboxes.finale.catalog import Catalog
from sandboxes.finale.clock import MovableClock
from sandboxes.finale.orders import OrderAction, Orders
from sandboxes.finale.rates import RateClass, Rates, worst_window
from sandboxes.finale.shipments import Shipments
from sandboxes.finale.spoils import Spoils
from sandboxes.finale.stock import stock_rows
from sandboxes.finale.store import Number, Record, Resource, StockKey, Store
from sandboxes.finale.switches import Switches

DEFAULT_SECRET = "key:secret"  # noqa: S105 - the sandbox's own, and in its README
Fill = Callable[["FinaleState"], None]


class FinaleState:
    """What one Finale sandbox serves. `fill` puts the first data into it, again at each reset."""

    def __init__(
        self,
        fill: Fill | None = None,
        *,
        behaviour: Behaviour | None = None,
        switches: Switches | None = None,
        account: str = "acme",
        time_zone: str = "America/New_York",
    ) -> None:
        self.behaviour = behaviour or Behaviour(Auth("basic", {DEFAULT_SECRET: account}))
        self.account = account
        self.switches = self._first_switches = switches or Switches()
        self.clock = MovableClock(self.behaviour.wall)
        self.store = Store(account, ZoneInfo(time_zone), self.clock)
        self.catalog = Catalog(self.store)
        self.orders = Orders(self.store)
        self.shipments = Shipments(self.store)
        self.rates = Rates()
        self.spoils = Spoils()
        self.reports_running = 0
        self._fill = fill
        self.reset_data()

    # what tests look at

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request since the start or the last reset, in order."""
        return self.behaviour.log.arrivals

    def worst_window(self, rate_class: RateClass, seconds: float) -> int:
        """The most requests of this class that any window of this length saw, counted from `arrivals`."""
        return worst_window(self.account, self.arrivals, rate_class, seconds)

    def records(self, resource: Resource) -> list[Record]:
        """The truth: all records in the order of creation; numbers are int or Decimal."""
        return list(self.store.rows[resource].values())

    def stock(self) -> list[Record]:
        """The truth of `inventoryitem`."""
        return list(stock_rows(self.store))

    # what people do in the shop

    def add_product(self, product_id: str, /, **fields: Any) -> str:
        """Create a product; returns its address. RefusedError when the SKU is taken."""
        return self.catalog.add_product(product_id, **fields)

    def edit_product(self, url: str, /, **fields: Any) -> Record:
        """Set fields of a product. KeyError when it does not exist."""
        return self.catalog.edit_product(url, **fields)

    def deactivate_product(self, url: str) -> None:
        """Make a product inactive; Finale deletes nothing."""
        self.catalog.activate(url, active=False)

    def activate_product(self, url: str) -> None:
        """Make a product active again."""
        self.catalog.activate(url, active=True)

    def drop_field(self, resource: Resource, name: str) -> None:
        """Take a field from every record for good, as Finale does without notice; no record is stamped."""
        for record in self.store.rows[resource].values():
            record.pop(name, None)
        self.store.version += 1

    def add_party(self, name: str, /, *roles: str, **fields: Any) -> str:
        """Create a party, by default a supplier; returns its address."""
        return self.catalog.add_party(name, *(roles or ("SUPPLIER",)), **fields)

    def edit_party(self, url: str, /, **fields: Any) -> Record:
        """Set fields of a party."""
        return self.catalog.edit("partygroup", url, **fields)

    def add_facility(self, name: str, parent: str | None = None) -> str:
        """Create a location or a sublocation; returns its address."""
        return self.catalog.add_facility(name, parent)

    def add_stock(
        self, product: str, facility: str, difference: Number, *, lot_id: str | None = None, packing: str | None = None
    ) -> None:
        """Change the stock on hand of a product address in a sublocation. No product is stamped by that."""
        self.store.get("product", product)
        self.store.get("facility", facility)
        self.store.add_stock(StockKey(product, facility, lot_id, packing), difference)

    def create_order(self, order_type: str = "PURCHASE_ORDER", /, **fields: Any) -> str:
        """Create a draft; returns its address."""
        return str(self.orders.create({"orderTypeId": order_type, **fields})["orderUrl"])

    def edit_order(self, url: str, /, **fields: Any) -> Record:
        """Set fields of an order, as far as its state allows."""
        return self.orders.update(url, fields)

    def act(self, order_url: str, action: OrderAction) -> None:
        """Lock, complete, cancel or edit (reopen) an order."""
        self.orders.act(order_url, action)

    def receive(self, order_url: str, quantities: dict[str, Number], *, lot_id: str | None = None) -> str:
        """Receive so much of each product address; returns the shipment's address."""
        return self.shipments.receive(order_url, quantities, lot_id=lot_id)

    # back to the start

    def reset(self) -> None:
        """The first data and switches, a running clock, no faults, an empty log, the first credentials."""
        self.behaviour.reset()
        self.reset_all_but_behaviour()

    def reset_all_but_behaviour(self) -> None:
        """All that `reset` does except for the shared behaviour."""
        self.switches = self._first_switches
        self.spoils.set()
        self.rates.clear()
        self.clock.release()
        self.reset_data()

    def reset_data(self) -> None:
        """The first data only."""
        self.store.clear()
        self.catalog.clear()
        if self._fill is not None:
            self._fill(self)
