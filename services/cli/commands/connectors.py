"""`headrace connectors`: the catalogue, and the conformance kit on one connector."""

import asyncio
import sys
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from services.cli.commands.common import EXIT_FAILED, Asked, JsonOption, asking, fail
from services.cli.conformance.running import kit_of
from services.gateway.models import ConnectorView
from shared.connector_sdk.conformance.checking import Kit
from shared.connector_sdk.conformance.rule import Outcome, Result
from shared.errors import ConfigurationError

app = typer.Typer(help="What Headrace can connect to.", no_args_is_help=True)

_STYLES: dict[Outcome, str] = {"passed": "green", "failed": "bold red", "exempt": "yellow"}


class RuleView(BaseModel):
    """One rule's result. `detail`: where it failed, or why it is exempt."""

    rule: str
    meaning: str
    outcome: Outcome
    detail: str
    seconds: float


class CheckView(BaseModel):
    """`ok`: no rule failed."""

    source_type: str
    ok: bool
    results: list[RuleView]


@asking(app, "list")
def list_connectors(asked: Asked) -> None:
    """The catalogue."""
    found = list(asked.client.items(ConnectorView, "/api/connectors"))
    asked.show_items(
        found,
        {
            "source_type": lambda entry: entry.source_type,
            "title": lambda entry: entry.title,
            "sync modes": lambda entry: ", ".join(entry.sync_modes),
            "realtime": lambda entry: "yes" if entry.supports_realtime else "no",
        },
    )


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A source_type, of this product or of an installed package.")],
    as_json: JsonOption = False,
) -> None:
    """Try a connector against a stand-in of its vendor, rule by rule. Needs nothing that runs, calls nobody outside."""
    try:
        kit = kit_of(name)
    except ConfigurationError as error:
        fail(error.message, error.hint)
    results = asyncio.run(_run(kit, name))
    ok = all(result.outcome != "failed" for result in results)
    if as_json:
        rows = [RuleView.model_validate(result, from_attributes=True) for result in results]
        print(CheckView(source_type=name, ok=ok, results=rows).model_dump_json(indent=2))
    else:
        _show(name, results)
    if not ok:
        raise typer.Exit(EXIT_FAILED)


async def _run(kit: Kit, name: str) -> list[Result]:
    results: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    screen = Console(file=sys.stderr)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        task = progress.add_task(f"checking {name}", total=len(kit.rules))
        async for result in kit.check_all():
            results.append(result)
            progress.update(task, advance=1, description=result.rule)
    return results


def _show(name: str, results: list[Result]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("rule", "outcome", "what it says"):
        table.add_column(column, overflow="fold")
    for result in results:
        style = _STYLES[result.outcome]
        table.add_row(result.rule, f"[{style}]{result.outcome}[/]", _escaped(result.detail or result.meaning))
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    console.print(table)
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in _STYLES}
    console.print(f"{name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
