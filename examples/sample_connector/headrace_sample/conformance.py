"""How the conformance kit starts, watches and breaks the shop's stand-in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, assert_never

from aiohttp import web

from headrace_sample import sandbox
from headrace_sample.sandbox import KEY, Shop
from shared.connector_sdk.conformance.description import Conformance, Fault, Setup, Vendor
from shared.connector_sdk.public import Entity

_WRONG = "wrong-key-of-the-sample"


class SampleVendor:
    """See the port `Vendor`."""

    def __init__(self, shop: Shop, url: str) -> None:
        self._shop = shop
        self.config: Mapping[str, Any] = {"base_url": url, "page_size": 8}
        self.credentials: Mapping[str, Any] = {"key": KEY}
        self.wrong_credentials: Mapping[str, Any] = {"key": _WRONG}
        self.secrets = (KEY, _WRONG)
        self.field_mappings: Mapping[str, Any] = {}

    def truth(self, entity: Entity) -> Mapping[str, Mapping[str, Any]]:
        """All rows by id."""
        rows = self._shop.items if entity == "inventory" else self._shop.suppliers
        return {str(key): row for key, row in rows.items()}

    def arrivals(self) -> int:
        """Requests so far."""
        return self._shop.arrivals

    def in_flight(self) -> int:
        """Requests under way."""
        return self._shop.in_flight

    def fault(self, fault: Fault | None) -> None:
        """The shop's switches."""
        self._shop.loops = fault is not None and fault.kind == "page_loop"
        self._shop.spare = 0 if fault is None else fault.after
        self._shop.spoil = None if fault is None else _spoil(fault)

    def change(self, entity: Entity) -> str:  # noqa: ARG002 - only items can be read since a time
        """Change the first item."""
        number = min(self._shop.items)
        self._shop.touch(number)
        return str(number)

    def disturb(self, entity: Entity, read: Sequence[str]) -> None:  # noqa: ARG002 - only items have pages
        """Remove one that was read, move the last one."""
        items = self._shop.items
        del items[next(number for number in sorted(items) if str(number) in read)]
        self._shop.touch(max(items))


def _spoil(fault: Fault) -> sandbox.Spoil | None:  # noqa: PLR0911 - one answer per kind
    match fault.kind:
        case "status":
            return sandbox.status(fault.status, fault.retry_after)
        case "drop":
            return sandbox.drop
        case "hang":
            return sandbox.hang
        case "cut" | "cut_chunked":
            return sandbox.cut(chunked=fault.kind == "cut_chunked")
        case "empty":
            return sandbox.body("", "application/json")
        case "html":
            return sandbox.body("<!doctype html><html><body>Please sign in</body></html>", "text/html")
        case "page_loop":
            return None  # the items' own switch
        case _ as never:
            assert_never(never)


@asynccontextmanager
async def start() -> AsyncIterator[Vendor]:
    """A shop on a free port of loopback."""
    shop = Shop()
    runner = web.AppRunner(shop.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield SampleVendor(shop, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


CONFORMANCE = Conformance(setups={"shop": Setup(start)})
