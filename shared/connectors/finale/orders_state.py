"""Where a read of orders stands between two pages: the cursor, small whatever the account's size. Pure."""

import base64
import zlib
from typing import Final

import msgspec

from shared.contracts.messages import Cursor
from shared.errors import PoisonMessageError

MAX_CURSOR_BYTES: Final = 4_000_000
"""Of its JSON, before it is packed."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Which orders to look for next: those after an address, in the order of addresses."""

    after: str = ""
    lower: str | None = None
    """The window of lastUpdatedDate begins here; None: all orders."""
    until: str | None = None
    """Where the last window ends."""


class Receipts(msgspec.Struct, frozen=True, array_like=True):
    """What has arrived for one order: the sum of its delivered shipments."""

    quantities: dict[str, str] = {}
    """By product address; decimals as text."""
    last: str | None = None
    """The newest receiveDate."""


class Due(msgspec.Struct, frozen=True, array_like=True):
    """An order that is to be read at its own address."""

    url: str
    receipts: Receipts


class OrdersState(msgspec.Struct, frozen=True, array_like=True):
    """Read what is `due`, then look at `then`; None: that was all."""

    due: list[Due] = []
    then: Place | None = None
    unusual_parties: dict[str, str] = {}
    """partyId to address, where the address is not the usual one."""
    view: str | None = None
    """Read by GraphQL instead, behind this cursor of its; empty: from the beginning."""

    def cursor(self) -> Cursor:
        """As the ledger keeps it; None at the end."""
        if not self.due and self.then is None and self.view is None:
            return None
        return base64.b64encode(zlib.compress(msgspec.json.encode(self), 6)).decode("ascii")


def read_cursor(cursor: Cursor) -> OrdersState | None:
    """The state; None at the beginning. PoisonMessageError for a cursor that is not ours."""
    if cursor is None:
        return None
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(base64.b64decode(str(cursor), validate=True), MAX_CURSOR_BYTES)
        return msgspec.json.decode(text, type=OrdersState)
    except (ValueError, zlib.error, msgspec.MsgspecError):
        raise PoisonMessageError("the cursor of purchase_orders cannot be read") from None
