"""Results as a table, and as ratios: a ratio is taken within a round, then the median of the rounds is shown."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

PHASES = ("initial", "unchanged", "changed")
Result = dict[str, Any]
"""One line of the results file."""


def show(results: Sequence[Result], names: Sequence[str], ours: str) -> None:
    """Print both tables."""
    console = Console(width=160)
    costs = Table(title=f"{results[0]['rows']:,} records; medians \\[least..most] of the rounds")
    for column in ("phase", "who", "wall s", "own s", "rows/s", "CPU s own + servers", "peak RSS MB", "WAL MB", "rows"):
        costs.add_column(column, no_wrap=True)
    for phase in PHASES:
        for name in names:
            found = [one for one in results if one["phase"] == phase and one["who"] == name]
            cpu = median(one["cpu_s"] for one in found)
            servers = median(sum(one["cpu_servers_s"].values()) for one in found)
            costs.add_row(
                phase,
                name,
                _span([one["wall_s"] for one in found]),
                _span([one["own_s"] for one in found]),
                f"{median(one['rows'] / one['wall_s'] for one in found):,.0f}",
                f"{cpu:.2f} + {servers:.2f}",
                f"{median(one['peak_rss_mb'] for one in found):.0f} in {max(one['processes'] for one in found)}",
                _span([one["wal_mb"] for one in found], digits=3),
                "right" if all(one["right"] for one in found) else "WRONG",
            )
        costs.add_section()
    console.print(costs)
    ratios = Table(title=f"times {ours}'s wall: above 1, {ours} is quicker")
    for column in ("phase", "peer", "its wall", "its own clock"):
        ratios.add_column(column, no_wrap=True)
    for phase in PHASES:
        for name in names:
            if name != ours:
                ratios.add_row(
                    phase, name, *(_span(_paired(results, phase, name, ours, key)) for key in ("wall_s", "own_s"))
                )
    console.print(ratios)


def _paired(results: Sequence[Result], phase: str, peer: str, ours: str, key: str) -> list[float]:
    theirs, mine = (
        {one["round"]: one for one in results if one["phase"] == phase and one["who"] == name} for name in (peer, ours)
    )
    return [theirs[number][key] / mine[number]["wall_s"] for number in theirs if number in mine]


def _span(values: Sequence[float], digits: int = 2) -> str:
    if not values:
        return "-"
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}..{max(values):.{digits}f}]"
