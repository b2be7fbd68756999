"""Webhook payloads of QuickBooks Online, in both forms, as changes by company. Source: Intuit developer documentation,
webhooks (the older form), and its announcement of CloudEvents of 2025-11-12 (the newer one).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.contracts.ids import Entity
from shared.storage.webhooks import Change

MAX_EVENTS = 5_000
_ENTITIES: Final[Mapping[str, Entity]] = {
    "item": "inventory",
    "vendor": "vendors",
    "purchaseorder": "purchase_orders",
}


def changes_by_realm(payload: Any) -> dict[str, list[Change]]:
    """The changes of our entities, each once, by realm id. Raises ValueError when the payload has neither form."""
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
    return {realm: list(changes) for realm, changes in found.items()}


def _notifications(notifications: list[Any]) -> Iterator[tuple[str, Change]]:
    for notification in notifications:
        realm = str(notification["realmId"])
        for entry in notification["dataChangeEvent"]["entities"]:
            yield from _changes(realm, entry["name"], entry["operation"], entry["id"], entry.get("deletedId"))


def _cloud_events(events: list[Any]) -> Iterator[tuple[str, Change]]:
    for event in events:
        vendor, name, operation, _version = str(event["type"]).split(".")
        if vendor != "qbo":
            continue
        gone = (event.get("data") or {}).get("deletedId")
        yield from _changes(str(event["intuitaccountid"]), name, operation, event["intuitentityid"], gone)


def _changes(realm: str, name: Any, operation: Any, object_id: Any, gone: Any) -> Iterator[tuple[str, Change]]:
    entity = _ENTITIES.get(str(name).lower())
    if entity is None:
        return
    deleted = str(operation).lower() in ("delete", "deleted")
    yield realm, Change(entity, str(object_id), "delete" if deleted else "upsert")
    if gone is not None:  # merged into the other one, and no more to be found
        yield realm, Change(entity, str(gone), "delete")
