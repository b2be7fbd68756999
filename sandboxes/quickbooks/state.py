"""One vendor: its companies, its apps and grants, its switches, and the edits that tests make."""

from decimal import Decimal
from typing import Any, Literal

from sandboxes.behaviour.limits import Arrival
from sandboxes.behaviour.server import Behaviour
from sandboxes.quickbooks import writes
from sandboxes.quickbooks.clock import MovableClock
from sandboxes.quickbooks.company import Company, Record, Row
from sandboxes.quickbooks.entities import REFERENCES, SPECS, EntityName
from sandboxes.quickbooks.faults import Rules, VendorFault
from sandboxes.quickbooks.limits import RealmLimits
from sandboxes.quickbooks.oauth import SignIn
from sandboxes.quickbooks.shop import Size, fill
from sandboxes.quickbooks.switches import Switches
from sandboxes.quickbooks.tokens import DEFAULT_REALM, App, Tokens
from sandboxes.quickbooks.webhooks import Webhooks

_Environment = Literal["sandbox", "production"]


class QuickBooksState:
    """What one QuickBooks sandbox serves. It starts with one company (`DEFAULT_REALM`) and one app (`App()`)."""

    def __init__(
        self,
        size: Size | None = None,
        seed: int = 1,
        *,
        clock: MovableClock | None = None,
        switches: Switches | None = None,
    ) -> None:
        self.clock = clock or MovableClock()
        self.behaviour = Behaviour(steady=self.clock.steady, wall=self.clock.wall)
        self.switches = self._first_switches = switches or Switches()
        self.limits = RealmLimits(self.clock.steady, lambda: self.switches)
        self.faults: Rules[VendorFault] = Rules()
        self.tokens = Tokens(self.clock.wall, lambda: self.switches)
        self.sign_in = SignIn(self.tokens, self._company_names, self.clock.steady)
        self.webhooks = Webhooks(self.clock.wall)
        self.clock.on_move.append(self.webhooks.wake)
        self.companies: dict[str, Company] = {}
        self._sizes: dict[str, tuple[str, Size, int, _Environment]] = {}
        self._fixed: list[tuple[str, str, str]] = []
        self.add_app(App())
        self.add_company(DEFAULT_REALM, "Sandbox Company", size or Size(), seed)

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request since the start or the last reset; the account of a company call is its realm."""
        return self.behaviour.log.arrivals

    def add_app(self, app: App) -> None:
        """Register a client."""
        self.tokens.apps[app.client_id] = app

    def add_company(
        self, realm: str, name: str, size: Size, seed: int = 1, environment: _Environment = "sandbox"
    ) -> Company:
        """Open a company with made records."""
        self._sizes[realm] = (name, size, seed, environment)
        company = Company(realm, name, self.clock.wall, lambda: self.switches)
        company.environment = environment
        fill(company, size, seed)
        company.on_change.append(self.webhooks.take)
        self.companies[realm] = company
        return company

    def company(self, realm: str = DEFAULT_REALM) -> Company:
        """The company of a realm. KeyError when there is none."""
        return self.companies[realm]

    def grant(self, realm: str = DEFAULT_REALM, client_id: str = App().client_id) -> dict[str, Any]:
        """Connect a company without a browser: the reply that the token endpoint would give. KeyError when unknown."""
        return self.tokens.consent(self.tokens.apps[client_id], self.company(realm).realm)

    def fix_token(self, token: str, realm: str = DEFAULT_REALM, client_id: str = App().client_id) -> None:
        """Let this access token in until the end, after a reset too."""
        self._fixed.append((token, client_id, realm))
        self.tokens.fixed(token, client_id, realm)

    def records(self, entity: EntityName, realm: str = DEFAULT_REALM) -> list[Record]:
        """The truth: all records that are not deleted, by id; numbers are int or Decimal."""
        company = self.company(realm)
        return [company.record(row) for row in company.living(entity)]

    def create(self, entity: EntityName, body: Record, realm: str = DEFAULT_REALM) -> str:
        """Create as a user would, with the vendor's rules; returns the id. QuickBooksError when it is refused."""
        return writes.write(self.company(realm), SPECS[entity], {**body, "Id": None}).id

    def change(self, entity: EntityName, record_id: str, body: Record, realm: str = DEFAULT_REALM) -> None:
        """Set fields whatever the rules; None takes one away. KeyError when the record does not exist."""
        company, row = self.company(realm), self._row(entity, record_id, realm)
        data = {name: value for name, value in {**row.data, **body}.items() if value is not None}
        company.change(SPECS[entity], row, data)

    def deactivate(self, entity: EntityName, record_id: str, realm: str = DEFAULT_REALM) -> None:
        """What a user calls deleting an item or a vendor."""
        self.change(entity, record_id, {"Active": False}, realm)

    def delete(self, entity: EntityName, record_id: str, realm: str = DEFAULT_REALM) -> None:
        """Delete a transaction. QuickBooksError for a list entity; KeyError when it does not exist."""
        row = self._row(entity, record_id, realm)
        writes.delete(self.company(realm), SPECS[entity], {"Id": record_id, "SyncToken": row.token})

    def merge(self, entity: EntityName, kept: str, gone: str, realm: str = DEFAULT_REALM) -> None:
        """Make one record of two: what referred to `gone` refers to `kept`, and `gone` is inactive from now on."""
        company, spec = self.company(realm), SPECS[entity]
        if spec.kind != "list" or kept == gone:
            raise ValueError("two different records of a list are merged")
        target, source = self._row(entity, kept, realm), self._row(entity, gone, realm)
        for name in SPECS:
            for row in list(company.living(name)):
                moved = _moved(row.data, entity, gone, kept)
                if moved != row.data:
                    company.change(SPECS[name], row, moved)
        company.change(spec, target, target.data)
        source.data = {**source.data, "Active": False}
        source.token, source.updated, source.cached = source.token + 1, company.moment(), None
        company.tell_merge(spec, target, source)

    def receive(self, order_id: str, line_id: str, quantity: Decimal, realm: str = DEFAULT_REALM) -> None:
        """Goods of an order line arrive: the line says so and the item's stock grows. KeyError when unknown."""
        company, row = self.company(realm), self._row("PurchaseOrder", order_id, realm)
        line = next((line for line in row.data["Line"] if line["Id"] == line_id), None)
        if line is None:
            raise KeyError(line_id)
        arrived = {**line, "Received": Decimal(line.get("Received", 0)) + quantity}
        lines = [arrived if other is line else other for other in row.data["Line"]]
        company.change(SPECS["PurchaseOrder"], row, {**row.data, "Line": lines})
        item = company.find("Item", line.get("ItemBasedExpenseLineDetail", {}).get("ItemRef", {}).get("value"))
        if item is not None and "QtyOnHand" in item.data:
            self.change("Item", item.id, {"QtyOnHand": Decimal(item.data["QtyOnHand"]) + quantity}, realm)

    def change_percent(self, entity: EntityName, percent: float, realm: str = DEFAULT_REALM) -> list[str]:
        """Change one field of so many percent of the records, evenly spread; returns their ids."""
        rows, field = list(self.company(realm).living(entity)), SPECS[entity].volatile
        count = min(len(rows), max(1, round(len(rows) * percent / 100))) if percent > 0 and field else 0
        chosen = [rows[position * len(rows) // count] for position in range(count)]
        for row in chosen:
            old = row.data.get(field, 0 if SPECS[entity].fields[field] == "number" else "")
            self.change(entity, row.id, {field: f"{old}*" if isinstance(old, str) else old + 7}, realm)
        return [row.id for row in chosen]

    def reset(self) -> None:
        """As at the start, but for the clock, the apps and the companies that were added: they stay."""
        self.behaviour.reset()
        self.reset_own()

    def reset_own(self) -> None:
        """The same without the shared behaviour."""
        self.switches = self._first_switches
        self.limits.clear()
        self.faults.set()
        self.tokens.clear()
        self.sign_in.log.exchanges.clear()
        self.sign_in.faults.set()
        self.webhooks.configure(None)
        for realm, (name, size, seed, environment) in list(self._sizes.items()):
            self.add_company(realm, name, size, seed, environment)
        for token, client_id, realm in self._fixed:
            self.tokens.fixed(token, client_id, realm)

    def _row(self, entity: EntityName, record_id: str, realm: str) -> Row:
        row = self.company(realm).find(entity, record_id)
        if row is None:
            raise KeyError(record_id)
        return row

    def _company_names(self) -> dict[str, str]:
        return {realm: company.name for realm, company in self.companies.items()}


def _moved(value: Any, entity: EntityName, gone: str, kept: str, name: str = "") -> Any:
    """The value with every reference to one record turned to another."""
    if isinstance(value, list):
        return [_moved(part, entity, gone, kept) for part in value]
    if not isinstance(value, dict):
        return value
    if REFERENCES.get(name) == entity and value.get("value") == gone:
        return {**value, "value": kept}
    return {key: _moved(part, entity, gone, kept, key) for key, part in value.items()}
