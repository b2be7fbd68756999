"""`headrace sources list|add|test|sync|pause|resume`."""

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from services.cli.client import ClientError
from services.cli.commands.common import EXIT_FAILED, Asked, asking, json_argument
from services.cli.commands.runs import summary
from services.gateway.models import RunAccepted, TestResult
from shared.contracts.ids import FINISHED, Entity
from shared.storage.read_meters import MonthlyReads
from shared.storage.run_views import RunView
from shared.storage.sources import SourceView

app = typer.Typer(help="Sources of data.", no_args_is_help=True)

SourceArgument = Annotated[UUID, typer.Argument(help="The source's id.", metavar="SOURCE")]
_JSON = "JSON, @file, or - for standard input"


@asking(app, "list")
def list_sources(asked: Asked) -> None:
    """All sources."""
    found = list(asked.client.items(SourceView, "/api/sources"))
    asked.show_items(
        found,
        {
            "source": lambda source: source.id,
            "type": lambda source: source.source_type,
            "name": lambda source: source.display_name,
            "status": lambda source: source.sync_status,
            "frequency": lambda source: source.sync_frequency,
            "last sync": lambda source: f"{source.last_sync_at:%Y-%m-%d %H:%M:%S}" if source.last_sync_at else "",
            "metered reads": lambda source: _reads(source.metered_reads),
        },
    )


def _reads(reads: MonthlyReads | None) -> str:
    return "" if reads is None else f"{reads.reads:,} in {reads.month}"


@asking(app, "add")
def add_source(
    asked: Asked,
    source_type: Annotated[str, typer.Option("--type", help="See `headrace connectors list`.")],
    name: Annotated[str, typer.Option("--name", help="How people call it.")],
    config: Annotated[str, typer.Option("--config", help=_JSON)],
    credentials: Annotated[
        str, typer.Option("--credentials", help=f"{_JSON}; a file or - keeps them out of the shell's history")
    ],
    mappings: Annotated[str | None, typer.Option("--mappings", help=f"field_mappings: {_JSON}")] = None,
    frequency: Annotated[
        str, typer.Option("--frequency", help="realtime, every_15_minutes, hourly, daily, manual or `cron:… zone`")
    ] = "hourly",
) -> None:
    """Save a new source."""
    if [config, credentials, mappings].count("-") > 1:
        raise ClientError("Only one option can be read from standard input.")
    body: dict[str, JsonValue] = {
        "source_type": source_type,
        "display_name": name,
        "config": json_argument("--config", config),
        "credentials": json_argument("--credentials", credentials),
        "sync_frequency": frequency,
    }
    if mappings is not None:
        body["field_mappings"] = json_argument("--mappings", mappings)
    source = asked.client.post(SourceView, "/api/sources", body)
    asked.show(source, f"source {source.id}")


@asking(app, "test")
def try_source(
    asked: Asked,
    source_id: SourceArgument,
) -> None:
    """Try the stored credentials; exit code 1 when they do not work."""
    result = asked.client.post(TestResult, f"/api/sources/{source_id}/test")
    hint = f"\n  {result.hint}" if result.hint else ""
    asked.show(result, f"{'ok' if result.ok else result.category}: {result.message}{hint}")
    if not result.ok:
        raise typer.Exit(EXIT_FAILED)


@asking(app, "sync")
def sync_source(
    asked: Asked,
    source_id: SourceArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit code 0 only if it succeeded.")] = False,
    mode: Annotated[str, typer.Option("--mode", help="incremental or full")] = "incremental",
    entity: Annotated[list[str] | None, typer.Option("--entity", help="Only this; may be given again.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Read anew: pass kept answers by.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, write nothing.")] = False,
) -> None:
    """Start a run now."""
    body: dict[str, JsonValue] = {"mode": mode, "force": force, "dry_run": dry_run}
    if entity:
        body["entities"] = list(entity)
    accepted = asked.client.post(RunAccepted, f"/api/sources/{source_id}/sync", body)
    if not wait:
        asked.show(accepted, f"run {accepted.run_id}")
        return
    run = watch(asked.client.follow(accepted.run_id), Console(stderr=True))
    asked.show(run, summary(run))
    if run.status != "succeeded":
        raise typer.Exit(EXIT_FAILED)


@asking(app, "pause")
def pause_source(
    asked: Asked,
    source_id: SourceArgument,
) -> None:
    """No more runs by time, webhook or outside request."""
    _tell(asked, source_id, "pause")


@asking(app, "resume")
def resume_source(
    asked: Asked,
    source_id: SourceArgument,
) -> None:
    """Undo a pause."""
    _tell(asked, source_id, "resume")


def watch(states: Iterable[RunView], console: Console) -> RunView:
    """A bar for each entity until the run has ended; the total is unknown, so the bar fills at the end."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    bars: dict[Entity, TaskID] = {}
    run: RunView | None = None
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for run in states:
            for name, entity in run.entities.items():
                if name not in bars:
                    bars[name] = progress.add_task(name, total=None, note="")
                done = entity.status in FINISHED
                waiting = f", waiting: {run.waiting_on}" if run.waiting_on and not done else ""
                note = f"{entity.status}, {entity.read} read{waiting}"
                progress.update(bars[name], note=note, total=1 if done else None, completed=1 if done else 0)
    if run is None:
        raise ClientError("The gateway said nothing about the run.")
    return run


def _tell(asked: Asked, source_id: UUID, verb: str) -> None:
    source = asked.client.post(SourceView, f"/api/sources/{source_id}/{verb}")
    asked.show(source, f"{source.id} is {source.sync_status}")
