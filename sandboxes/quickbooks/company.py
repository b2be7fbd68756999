"""One company's records: ids, versions, times of change, stubs of what was deleted, and what a reader sees of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from sandboxes.data.documents import decode, encode
from sandboxes.quickbooks.clock import pacific
from sandboxes.quickbooks.entities import PEOPLE, REFERENCES, SPECS, EntityName, Spec
from sandboxes.quickbooks.switches import Switches

Operation = Literal["Create", "Update", "Delete", "Merge", "Void", "Emailed"]
Record = dict[str, Any]


@dataclass(slots=True)
class Change:
    """One change of one record, as webhooks tell it."""

    entity: EntityName
    id: str
    operation: Operation
    moment: datetime
    deleted_id: str | None = None


@dataclass(slots=True)
class Row:
    """One record: `data` are the fields that callers may write, and those that the vendor computes."""

    id: str
    data: Record
    created: datetime
    updated: datetime
    token: int = 0
    deleted: bool = False
    cached: tuple[tuple[int, bool], bytes] | None = field(default=None, repr=False)


class Company:
    """The records of one realm."""

    def __init__(self, realm: str, name: str, now: Callable[[], datetime], switches: Callable[[], Switches]) -> None:
        self.realm = realm
        self.environment: Literal["sandbox", "production"] = "sandbox"
        self.rows: dict[EntityName, dict[str, Row]] = {entity: {} for entity in SPECS}
        self.on_change: list[Callable[[str, Change], None]] = []
        self.requests: dict[str, tuple[bytes, dict[str, Any]]] = {}
        """What was answered to each `requestid`: the content it came with and the reply."""
        self._now = now
        self._switches = switches
        self._last_id = dict.fromkeys(SPECS, 0)
        self._names: dict[str, dict[str, str]] = {}
        self._names_version = 0
        self.put("CompanyInfo", {"CompanyName": name, "LegalName": name, "Country": "US"}, now().replace(microsecond=0))

    @property
    def switches(self) -> Switches:
        """The vendor's switches as they are now."""
        return self._switches()

    @property
    def name(self) -> str:
        """The company's name."""
        return str(self.rows["CompanyInfo"]["1"].data["CompanyName"])

    def put(self, entity: EntityName, data: Record, moment: datetime, record_id: str | None = None) -> Row:
        """Store a first version without checks and without telling anybody: how seeds get in."""
        if record_id is None:
            self._last_id[entity] += 1
            record_id = str(self._last_id[entity])
        else:
            self._last_id[entity] = max(self._last_id[entity], int(record_id))
        row = self.rows[entity][record_id] = Row(record_id, data, moment, moment)
        self._name(SPECS[entity], row)
        return row

    def add(self, spec: Spec, data: Record) -> Row:
        """Store a new record, checked before; it is told to whoever listens."""
        row = self.put(spec.name, data, self.moment())
        self._tell(spec, row, "Create")
        return row

    def change(self, spec: Spec, row: Row, data: Record, operation: Operation = "Update") -> None:
        """Give a record new content, and with it the next version."""
        self._unname(spec, row)
        row.data, row.token, row.updated, row.cached = data, row.token + 1, self.moment(), None
        self._name(spec, row)
        self._tell(spec, row, operation)

    def delete(self, spec: Spec, row: Row) -> None:
        """Leave a stub of a transaction."""
        row.deleted, row.updated, row.token = True, self.moment(), row.token + 1
        self._tell(spec, row, "Delete")

    def tell_merge(self, spec: Spec, kept: Row, gone: Row) -> None:
        """Two records became one."""
        change = Change(spec.name, kept.id, "Merge", kept.updated, gone.id)
        for listener in self.on_change:
            listener(self.realm, change)

    def moment(self) -> datetime:
        """Now as records have it: whole seconds, so that two changes can share one time, as at the vendor's."""
        return self._now().replace(microsecond=0)

    def living(self, entity: EntityName) -> Iterator[Row]:
        """All records that are not deleted, in the order of their ids."""
        return (row for row in self.rows[entity].values() if not row.deleted)

    def find(self, entity: EntityName, record_id: object) -> Row | None:
        """The living record with this id."""
        row = self.rows[entity].get(record_id) if isinstance(record_id, str) else None
        return None if row is None or row.deleted else row

    def taken(self, spec: Spec, name: str, record_id: str | None) -> bool:
        """Whether another record has this name; people of all kinds share one name space."""
        owner = self._names.get(_space(spec), {}).get(name.casefold())
        return owner is not None and owner != f"{spec.name}/{record_id}"

    def text(self, row: Row) -> msgspec.Raw:
        """The record as JSON."""
        key = (self._names_version, self.switches.received)
        if row.cached is None or row.cached[0] != key:
            row.cached = (key, encode(self._shown(row)))
        return msgspec.Raw(row.cached[1])

    def record(self, row: Row) -> Record:
        """The record as a reader decodes it: numbers are int or Decimal."""
        found: Record = decode(bytes(self.text(row)))
        return found

    def _shown(self, row: Row) -> Record:
        return {
            **{name: self._part(name, value) for name, value in row.data.items()},
            "domain": "QBO",
            "sparse": False,
            "Id": row.id,
            "SyncToken": str(row.token),
            "MetaData": {"CreateTime": pacific(row.created), "LastUpdatedTime": pacific(row.updated)},
        }

    def _part(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._part("", part) for part in value]
        if not isinstance(value, dict):
            return value
        if (target := REFERENCES.get(name)) is not None:
            row = self.rows[target].get(str(value["value"]))
            label = row.data.get("FullyQualifiedName") or row.data.get(SPECS[target].name_field) if row else None
            return {**value, "name": label} if label else value
        hidden = () if self.switches.received else ("Received",)
        return {key: self._part(key, part) for key, part in value.items() if key not in hidden}

    def _tell(self, spec: Spec, row: Row, operation: Operation) -> None:
        change = Change(spec.name, row.id, operation, row.updated)
        for listener in self.on_change:
            listener(self.realm, change)

    def _name(self, spec: Spec, row: Row) -> None:
        if spec.name_field:
            names = self._names.setdefault(_space(spec), {})
            names.setdefault(str(row.data[spec.name_field]).casefold(), f"{spec.name}/{row.id}")
            self._names_version += row.token > 0  # a new record has no readers' references yet

    def _unname(self, spec: Spec, row: Row) -> None:
        if spec.name_field:
            names = self._names.get(_space(spec), {})
            key = str(row.data[spec.name_field]).casefold()
            if names.get(key) == f"{spec.name}/{row.id}":
                del names[key]


def _space(spec: Spec) -> str:
    return "people" if spec.name in PEOPLE else spec.name
