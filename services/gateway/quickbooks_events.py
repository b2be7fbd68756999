"""Webhook payloads of QuickBooks Online, in both forms, as changes by company. Source: Intuit developer documentation,
webhooks (the older form), and its announcement of CloudEvents of 2025-11-12 (the newer one).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.contracts.ids import Entity
from shared.storage.webhooks import Change

MAX_EVENTS = 5_000
_ID: Final = re.compile(r"[!-~]{1,100}")
_ENTITIES: Final[Mapping[str, Entity]] = {
    "item": "inventory",
    "vendor": "vendors",
    "purchaseorder": "purchase_orders",
}


def changes_by_realm(payload: Any) -> dict[str, list[Change]]:
    """The changes of our entities, each once, by realm id. Raises ValueError when the payload has neither form.

    Single events that cannot be read are left out: a delivery that is refused comes again for days, and the vendor
    holds all later ones back behind it. What they were about, the timed runs find.
    """
    if isinstance(payload, list):
        events = _cloud_events(payload)
    elif isinstance(payload, dict) and isinstance(payload.get("eventNotifications"), list):
        events = _notifications(payload["eventNotifications"])
    else:
        raise ValueError("neither eventNotifications nor CloudEvents")  # noqa: TRY004 - the body's fault, not a caller's
    found: dict[str, dict[Change, None]] = {}
    for count, (realm, change) in enumerate(events):
        if count == MAX_EVENTS:
            raise ValueError(f"more than {MAX_EVENTS} events")
        found.setdefault(realm, {})[change] = None
    for changes in found.values():
        if any(change.entity == "purchase_orders" for change in changes):
            # What is on order changes with them; of which items, a deleted order or line does not tell any more.
            changes[Change("inventory", None, "upsert")] = None
    return {realm: list(changes) for realm, changes in found.items()}


def _notifications(notifications: list[Any]) -> Iterator[tuple[str, Change]]:
    for notification in filter(_is_object, notifications):
        event = notification.get("dataChangeEvent")
        entries = event.get("entities") if isinstance(event, dict) else None
        for entry in filter(_is_object, entries if isinstance(entries, list) else ()):
            name, operation, gone = entry.get("name"), entry.get("operation"), entry.get("deletedId")
            yield from _changes(notification.get("realmId"), name, operation, entry.get("id"), gone)


def _cloud_events(events: list[Any]) -> Iterator[tuple[str, Change]]:
    for event in filter(_is_object, events):
        vendor, name, operation, *_version = [*str(event.get("type")).split("."), "", ""]
        if vendor != "qbo":
            continue
        data = event.get("data")
        gone = data.get("deletedId") if isinstance(data, dict) else None
        yield from _changes(event.get("intuitaccountid"), name, operation, event.get("intuitentityid"), gone)


def _changes(realm: Any, name: Any, operation: Any, object_id: Any, gone: Any) -> Iterator[tuple[str, Change]]:
    entity = _ENTITIES.get(str(name).lower())
    if entity is None or not _is_id(realm) or not _is_id(object_id):
        return
    deleted = str(operation).lower() in ("delete", "deleted")
    yield str(realm), Change(entity, str(object_id), "delete" if deleted else "upsert")
    if _is_id(gone):  # merged into the other one, and no more to be found
        yield str(realm), Change(entity, str(gone), "delete")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and _ID.fullmatch(str(value)) is not None
