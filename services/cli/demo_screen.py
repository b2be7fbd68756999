"""What the demo shows: bars and tables at a terminal, plain lines and columns elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from shared.contracts.ids import Entity
from shared.storage.run_views import EntityView

_PLAIN_WIDTH = 120
_COLUMNS = ("source_type", "entity", "read", "inserted", "updated", "unchanged", "quarantined", "seconds")


@dataclass(frozen=True, slots=True)
class DemoLine:
    """One line of the table. `seconds`: of the run that the entity was part of."""

    source_type: str
    entity: Entity
    counters: EntityView
    seconds: float


class DemoScreen:
    """Writes to `out`; its own words are never read as markup."""

    def __init__(self, out: TextIO) -> None:
        self._fancy = out.isatty()
        self._console = Console(file=out, markup=False, highlight=False, width=None if self._fancy else _PLAIN_WIDTH)

    def say(self, sentence: str = "") -> None:
        """One line."""
        self._console.print(sentence)

    def progress(self) -> Progress:
        """Bars, to be used in a `with`; elsewhere than at a terminal they are shown once, when done."""
        return Progress(
            TextColumn("  {task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console,
        )  # fmt: skip

    def table(self, lines: Sequence[DemoLine]) -> None:
        """The counters of a round."""
        table = Table(box=SIMPLE if self._fancy else None, pad_edge=False, padding=(0, 2, 0, 0))
        for number, name in enumerate(_COLUMNS):
            table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
        for line in lines:
            of = line.counters
            counts = (of.read, of.inserted, of.updated, of.unchanged, of.quarantined)
            table.add_row(line.source_type, line.entity, *map(str, counts), f"{line.seconds:.2f}")
        self.say()
        self._console.print(table)
        self.say()
