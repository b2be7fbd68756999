"""Which raw fields of a record no rule reads: what becomes `extra`."""

from collections.abc import Iterable, Sequence

from services.transformer.lines import FIELD as LINES
from services.transformer.lines import is_line_list
from shared.contracts.messages import RawRecord
from shared.expressions.paths import CompiledPath


class Unmapped:
    """Tells the raw fields that are left."""

    def __init__(self, paths: Iterable[CompiledPath | None], *, implicit_lines: bool) -> None:
        """`implicit_lines`: a raw field named `lines` is taken for an order's lines if it can be."""
        self._paths = tuple(path for path in paths if path is not None)
        self._used = frozenset().union(*(path.fields for path in self._paths))
        self._texts = frozenset(path.text for path in self._paths) - self._used
        self._implicit_lines = implicit_lines

    def of(self, record: RawRecord) -> RawRecord:
        """The record without what is mapped, in its own order."""
        left = record.copy()
        for name in self._used_in(record):
            left.pop(name, None)
        return left

    def column(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """As `of` each."""
        if self._implicit_lines or self._texts:
            return [self.of(record) for record in records]
        left = [record.copy() for record in records]
        for name in self._used:
            for fields in left:
                fields.pop(name, None)
        return left

    def _used_in(self, record: RawRecord) -> frozenset[str]:
        used = self._used
        if not self._texts.isdisjoint(record):  # a field is named like an expression, and then is what was meant
            used = frozenset().union(*({path.text} if path.text in record else path.fields for path in self._paths))
        if self._implicit_lines and LINES in record and not is_line_list(record[LINES]):
            used -= {LINES}
        return used
