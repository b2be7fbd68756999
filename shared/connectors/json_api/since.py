"""How a point in time is written into `updated_since_param`. Pure."""

from datetime import UTC, datetime
from typing import Final

from shared.contracts.time_format import EPOCHS, percent_codes

DEFAULT_FORMAT: Final = "YYYY-MM-DDTHH:MM:SSZ"


def check_format(pattern: str) -> str:
    """Validator: raises ValueError when `pattern` is neither `unix`, `unix_ms`, strftime nor made of our tokens."""
    if pattern not in EPOCHS:
        percent_codes(pattern)
    return pattern


def write_since(moment: datetime, pattern: str = DEFAULT_FORMAT) -> str:
    """`moment` in UTC, cut to the second (so rather a little earlier than later); forms: `contracts.time_format`."""
    moment = moment.astimezone(UTC).replace(microsecond=0)
    if pattern == "unix":
        return str(int(moment.timestamp()))
    if pattern == "unix_ms":
        return str(int(moment.timestamp()) * 1000)
    codes = percent_codes(pattern)
    # The C library writes the year 987 with three digits, which no vendor reads.
    return moment.strftime(codes if "%" in pattern else codes.replace("%Y", f"{moment.year:04}"))
