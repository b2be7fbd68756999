"""When records changed: the time that moves the incremental cursor and fills `source_updated_at`."""

from collections.abc import Sequence
from datetime import UTC, datetime

from services.transformer.coerce import FieldError, Notation, to_moment
from services.transformer.columns import utc_moments, values_of
from services.transformer.times import unix_moment
from shared.contracts.messages import RawRecord
from shared.expressions.exact import is_number
from shared.expressions.limits import ExpressionError
from shared.expressions.paths import CompiledPath


class ChangeTimes:
    """Reads the change times of one mapping."""

    def __init__(self, path: CompiledPath | None, notation: Notation) -> None:
        self.are_known = path is not None
        self._path = path
        self._notation = notation

    def read(self, record: RawRecord) -> datetime | None:
        """The record's own change time in UTC; None where there is none that can be read."""
        if self._path is None:
            return None
        try:
            return self._moment(self._path.get(record))
        except ExpressionError:
            return None

    def column(self, records: Sequence[RawRecord]) -> list[datetime | None]:
        """As `read` of each."""
        if self._path is None:
            return [None] * len(records)
        values = values_of(self._path, records, set())
        moments = utc_moments(values, self._notation.zone) if self._notation.form is None else None
        return list(map(self._moment, values)) if moments is None else moments

    def _moment(self, value: object) -> datetime | None:
        try:
            if is_number(value):
                return unix_moment(value)
            moment = None if value is None else to_moment(value, self._notation)
            return None if moment is None else moment.astimezone(UTC)
        except (FieldError, OverflowError, ValueError, OSError):
            return None
