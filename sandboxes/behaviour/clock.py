"""The server's own clock. A sandbox imports nothing of the product, so it cannot take the product's clock."""

import time
from datetime import UTC, datetime


def wall() -> datetime:
    """The time of day that the vendor's server believes in, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one reader of the wall clock in the sandboxes


def steady() -> float:
    """Seconds that never go back: what limits are counted with."""
    return time.monotonic()
