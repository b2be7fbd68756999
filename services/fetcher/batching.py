"""Pure: cut a page's records into batches that are bounded in rows and bytes."""

from collections.abc import Sequence

from shared.contracts.messages import RawRecord, encode_json
from shared.errors import DataError

MAX_ROWS = 2_000
MAX_BYTES = 1_000_000
"""Aimed at, by the page's average record."""
HARD_BYTES = 4_000_000
"""A batch above this is halved, however unevenly its records are sized."""


def cut(records: Sequence[RawRecord], page_bytes: int) -> list[Sequence[RawRecord]]:
    """At least one batch: an empty page has an empty one, so that it is accounted for too.

    Raises DataError when one record alone is larger than a message may be.
    """
    if not records:
        return [records]
    average = max(1, page_bytes // len(records))
    rows = max(1, min(MAX_ROWS, MAX_BYTES // average))
    batches = [records[start : start + rows] for start in range(0, len(records), rows)]
    if page_bytes <= HARD_BYTES:  # then no batch can be larger
        return batches
    return [piece for batch in batches for piece in _halved(batch)]


def _halved(records: Sequence[RawRecord]) -> list[Sequence[RawRecord]]:
    if len(encode_json(records)) <= HARD_BYTES:
        return [records]
    if len(records) == 1:
        raise DataError(
            f"one record is larger than {HARD_BYTES // 1_000_000} MB",
            hint="Ask the source for fewer fields, or choose a records_path that reaches the records themselves.",
        )
    half = len(records) // 2
    return [*_halved(records[:half]), *_halved(records[half:])]
