"""The vendor's webhooks: bundles of what changed, signed, in both formats, with retries, duplicates and disorder."""

import asyncio
import base64
import hashlib
import hmac
import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec

from sandboxes.data.documents import encode
from sandboxes.quickbooks.company import Change
from sandboxes.quickbooks.tokens import App

RETRIES = (10, 20, 30, 300, 1200, 7200, 14400, 21600)
"""Seconds after each failed try; the last again and again (Intuit blog, 2024-12-02)."""
_PAST = {"Create": "created", "Update": "updated", "Delete": "deleted", "Merge": "merged", "Void": "voided"}


class WebhookTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the vendor sends an app's webhooks, and what goes wrong on the way."""

    url: str
    """On this machine's loopback; anything else is refused."""
    verifier_token: str = App().verifier_token
    format: Literal["legacy", "cloudevents"] = "legacy"
    entities: tuple[str, ...] = ("Item", "Vendor", "PurchaseOrder")
    realms: tuple[str, ...] = ()
    """Empty: all."""
    bundle_seconds: float = 0
    """Production keeps changes for 1, 3 or 5 minutes and sends them together."""
    automatic: bool = False
    """Send by itself; else when the test says so."""
    offset_form: bool = False
    """`lastUpdated` with `-0700` instead of `Z`."""
    duplicates: float = 0
    """The share of events that come a second time, in a bundle of their own."""
    lost: float = 0
    """The share of events that never come."""
    disorder: bool = False
    """Events of a bundle, and bundles that are due together, in another order."""
    wrong_signature: bool = False
    timeout_seconds: float = 3
    seed: int = 1

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError("webhooks are sent to this machine's loopback only")


@dataclass(slots=True)
class Delivery:
    """One try. `status` 0: no answer in time."""

    moment: datetime
    body: bytes
    signature: str
    status: int
    events: int


@dataclass(slots=True)
class _Bundle:
    due: datetime
    body: bytes
    events: int
    tries: int = 0


class Webhooks:
    """The sender. Bundles wait behind one that the endpoint does not take."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._pending: list[tuple[str, Change]] = []
        self._queue: deque[_Bundle] = deque()
        self._random = random.Random(1)
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self.target: WebhookTarget | None = None
        self.deliveries: list[Delivery] = []

    def configure(self, target: WebhookTarget | None) -> None:
        """Send to this endpoint from now on, or nowhere; forgets what is not sent."""
        self.target = target
        self._pending.clear()
        self._queue.clear()
        self.deliveries.clear()
        self._random = random.Random(target.seed if target else 1)
        self._wake.set()

    def take(self, realm: str, change: Change) -> None:
        """Something changed."""
        target = self.target
        if target is None or change.entity not in target.entities or (target.realms and realm not in target.realms):
            return
        if self._random.random() < target.lost:
            return
        self._pending.append((realm, change))
        self._wake.set()

    def wake(self) -> None:
        """The clock moved."""
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Changes and bundles that are not delivered."""
        return len(self._pending) + len(self._queue)

    async def deliver(self, *, everything: bool = False) -> list[Delivery]:
        """Send what is due; `everything` bundles what is still being gathered too. Returns the tries made."""
        made: list[Delivery] = []
        async with self._sending:
            self._bundle(everything=everything)
            while (target := self.target) is not None and self._queue and self._queue[0].due <= self._now():
                bundle = self._queue[0]
                delivery = await self._send(target, bundle)
                made.append(delivery)
                self.deliveries.append(delivery)
                if self.target is not target:
                    break
                if delivery.status == 200:
                    self._queue.popleft()
                else:
                    bundle.due = self._now() + timedelta(seconds=RETRIES[min(bundle.tries, len(RETRIES) - 1)])
                    bundle.tries += 1
        return made

    async def run(self) -> None:
        """Send by itself whenever something is due, for targets that ask for it; ends when cancelled."""
        while True:
            self._wake.clear()
            if self.target is not None and self.target.automatic:
                await self.deliver()
            due = self._next_due()
            wait = None if due is None else max(0.01, (due - self._now()).total_seconds())
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next_due(self) -> datetime | None:
        target = self.target
        if target is None or not target.automatic:
            return None
        moments = [self._queue[0].due] if self._queue else []
        if self._pending:
            moments.append(self._pending[0][1].moment + timedelta(seconds=target.bundle_seconds))
        return min(moments, default=None)

    def _bundle(self, *, everything: bool) -> None:
        target, now = self.target, self._now()
        if target is None or not self._pending:
            return
        if not everything and self._pending[0][1].moment + timedelta(seconds=target.bundle_seconds) > now:
            return
        events, self._pending = self._pending, []
        again = [event for event in events if self._random.random() < target.duplicates]
        bundles = [events, again] if again else [events]
        if target.disorder:
            bundles = [list(reversed(bundle)) for bundle in reversed(bundles)]
        for bundle in bundles:
            body = (
                cloud_events(bundle)
                if target.format == "cloudevents"
                else legacy(bundle, offset_form=target.offset_form)
            )
            self._queue.append(_Bundle(now, body, len(bundle)))

    async def _send(self, target: WebhookTarget, bundle: _Bundle) -> Delivery:
        signature = sign(bundle.body, target.verifier_token + ("?" if target.wrong_signature else ""))
        headers = {"Content-Type": "application/json", "intuit-signature": signature}
        status = 0
        try:
            timeout = aiohttp.ClientTimeout(total=target.timeout_seconds)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(target.url, data=bundle.body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError):
            pass
        return Delivery(self._now(), bundle.body, signature, status, bundle.events)


def sign(body: bytes, verifier_token: str) -> str:
    """The `intuit-signature` of a body (Intuit documentation, webhooks)."""
    return base64.b64encode(hmac.new(verifier_token.encode(), body, hashlib.sha256).digest()).decode()


def legacy(events: list[tuple[str, Change]], *, offset_form: bool = False) -> bytes:
    """The old format: an object with the changes of each realm."""
    realms: dict[str, list[dict[str, str]]] = {}
    for realm, change in events:
        entry = {"name": change.entity, "id": change.id, "operation": str(change.operation)}
        if change.deleted_id is not None:
            entry["deletedId"] = change.deleted_id
        entry["lastUpdated"] = _stamp(change.moment, offset_form=offset_form)
        realms.setdefault(realm, []).append(entry)
    return encode(
        {
            "eventNotifications": [
                {"realmId": realm, "dataChangeEvent": {"entities": entries}} for realm, entries in realms.items()
            ]
        }
    )


def cloud_events(events: list[tuple[str, Change]]) -> bytes:
    """The new format: a list of CloudEvents 1.0."""
    return encode([_cloud_event(realm, change) for realm, change in events])


def _cloud_event(realm: str, change: Change) -> dict[str, Any]:
    opaque = base64.b64encode(hashlib.sha256(realm.encode()).digest()[:15]).decode()
    moment = change.moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    action = _PAST.get(change.operation, "emailed")
    merged = {} if change.deleted_id is None else {"deletedId": change.deleted_id}
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"intuit.{opaque}",
        "type": f"qbo.{change.entity.lower()}.{action}.v1",
        "datacontenttype": "application/json",
        "time": f"{moment}.000000000Z",
        "intuitentityid": change.id,
        "intuitaccountid": realm,
        "data": merged,
    }


def _stamp(moment: datetime, *, offset_form: bool) -> str:
    if not offset_form:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (moment.astimezone(UTC) - timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M:%S-0700")
