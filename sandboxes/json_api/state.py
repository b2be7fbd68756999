"""The shop behind the JSON API: its data, which tests may change, and its behaviour."""

from datetime import datetime, timedelta
from typing import Any, get_args

from sandboxes.behaviour.limits import Arrival
from sandboxes.behaviour.server import Behaviour
from sandboxes.data import generated_shop, northwind_shop
from sandboxes.data.documents import EntityName, Shop, rfc3339
from sandboxes.json_api.table import Table

ENTITIES: tuple[EntityName, ...] = get_args(EntityName)


class JsonApiState:
    """What one JSON API sandbox serves. `max_size` is the most records it puts into one page."""

    def __init__(self, shop: Shop, behaviour: Behaviour | None = None, *, max_size: int = 1000) -> None:
        self.behaviour = behaviour or Behaviour()
        self.max_size = max_size
        self._shop = shop
        self._latest: datetime | None = None
        self.tables = self._fresh()

    @classmethod
    def northwind(cls, behaviour: Behaviour | None = None) -> "JsonApiState":
        """The real shop: 77 products, 29 suppliers, and purchase orders."""
        return cls(northwind_shop.load(), behaviour)

    @classmethod
    def generated(cls, products: int, seed: int = 1, behaviour: Behaviour | None = None) -> "JsonApiState":
        """A made shop, the same for the same seed; its pages are ready to be sent before the first request."""
        state = cls(generated_shop.load(products, seed), behaviour)
        for table in state.tables.values():
            table.view(None)
        return state

    @property
    def arrivals(self) -> list[Arrival]:
        """Every request since the start or the last reset, in order."""
        return self.behaviour.log.arrivals

    def worst_window(self, seconds: float) -> int:
        """The most arrivals that any window of this length saw from one account."""
        return self.behaviour.log.worst_window(seconds)

    def records(self, entity: EntityName) -> list[dict[str, Any]]:
        """The truth: all records in the order of their ids; numbers are int or Decimal."""
        return self.tables[entity].records()

    def edit(self, entity: EntityName, key: int | str, /, **fields: Any) -> None:
        """Set fields of one record; its time of change becomes now. KeyError when it does not exist."""
        self.tables[entity].edit(key, fields)

    def add(self, entity: EntityName, /, **fields: Any) -> int | str:
        """Add a record and return its id."""
        return self.tables[entity].add(fields)

    def remove(self, entity: EntityName, key: int | str) -> None:
        """Remove a record. KeyError when it does not exist."""
        self.tables[entity].remove(key)

    def change_percent(self, entity: EntityName, percent: float) -> list[int | str]:
        """Change that share of the records; returns their ids."""
        return self.tables[entity].change(percent)

    def reset(self) -> None:
        """The first data, no faults, an empty log, the first credentials and limits."""
        self.behaviour.reset()
        self.reset_data()

    def reset_data(self) -> None:
        """The first data only."""
        self.tables = self._fresh()

    def _fresh(self) -> dict[EntityName, Table]:
        return {name: Table(self._shop[name], self._tick) for name in ENTITIES}

    def _tick(self) -> str:
        """Now, but later than any earlier change, so that each change can be told from the one before."""
        now = self.behaviour.wall()
        if self._latest is not None:
            now = max(now, self._latest + timedelta(milliseconds=1))
        self._latest = now
        return rfc3339(now)
