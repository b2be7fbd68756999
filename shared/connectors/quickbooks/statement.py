"""The statements we ask with, in the vendor's query language (Intuit documentation, data queries). Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from shared.connectors.quickbooks.walk import Place

Table = Literal["Item", "Vendor", "PurchaseOrder", "Term"]

PAGE: Final = 1_000
"""The most records of one answer; a larger number is cut to it in silence."""

START: Final = Place()
_LISTS: Final = frozenset({"Item", "Vendor", "Term"})
"""Entities whose inactive records are hidden unless they are asked for."""


def select(
    table: Table,
    *,
    place: Place = START,
    since: datetime | None = None,
    also: Sequence[str] = (),
    size: int = PAGE,
) -> str:
    """Records in the order of their ids, from `place` on.

    Behind an id: ids never change and STARTPOSITION stays 1, so nothing that is edited meanwhile shifts a page: no
    record is skipped, none comes twice. (Ordered by a field that changes, or by position, both happen.)
    """
    conditions = ["Active IN (true, false)"] if table in _LISTS else []
    if since is not None:
        conditions.append(f"MetaData.LastUpdatedTime >= {_quoted(moment(since))}")
    conditions += also
    if place.after is not None:
        conditions.append(f"Id > {_quoted(place.after)}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    # no SQL: the vendor's language, all values quoted
    return f"SELECT * FROM {table}{where} ORDERBY Id STARTPOSITION {place.position} MAXRESULTS {size}"  # noqa: S608


def select_ids(table: Table, ids: Sequence[str]) -> str:
    """The records with these ids, at most `PAGE` of them; of lists the inactive ones too."""
    active = "Active IN (true, false) AND " if table in _LISTS else ""
    wanted = ", ".join(map(_quoted, ids))
    return f"SELECT * FROM {table} WHERE {active}Id IN ({wanted}) ORDERBY Id STARTPOSITION 1 MAXRESULTS {PAGE}"  # noqa: S608 - as above


def moment(when: datetime) -> str:
    """A time as the vendor reads it; cut to the second, so rather earlier than later."""
    return when.astimezone(UTC).replace(microsecond=0).isoformat()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
