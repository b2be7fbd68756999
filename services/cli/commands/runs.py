"""`headrace runs list|show|cancel|retry`."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.commands.common import Asked, asking
from services.gateway.models import RetryRequest, RunAccepted
from shared.storage.run_views import RunView

app = typer.Typer(help="Runs of sources.", no_args_is_help=True)

RunArgument = Annotated[UUID, typer.Argument(help="The run's id.", metavar="RUN")]


def summary(run: RunView) -> str:
    """A run in lines: its state, each entity's counters, the error with what to do."""
    lines = [f"{run.id}  {run.status}  {run.trigger} {run.mode}, asked {run.requested_at:%Y-%m-%d %H:%M:%S}"]
    for name, entity in run.entities.items():
        lines.append(
            f"  {name}: {entity.status}, read {entity.read}, inserted {entity.inserted}, updated {entity.updated}, "
            f"unchanged {entity.unchanged}, deleted {entity.deleted}, filtered {entity.filtered}, "
            f"duplicates {entity.duplicates}, quarantined {entity.quarantined}"
        )
        if entity.delete_proposal:
            lines.append(f"    {entity.delete_proposal} rows vanished at the source and wait for approval")
    if run.cache_hits:
        answers = "answer" if run.cache_hits == 1 else "answers"
        lines.append(f"  {run.cache_hits} {answers} came from the cache; `headrace sources sync --force` reads anew")
    if run.waiting_on is not None:
        lines.append(f"  waiting: {run.waiting_on}" + (f" until {run.resume_at:%H:%M:%S} UTC" if run.resume_at else ""))
    if run.error is not None:
        lines.append(f"  {run.error.category}: {run.error.message}")
        if run.error.hint:
            lines.append(f"  {run.error.hint}")
    return "\n".join(lines)


@asking(app, "list")
def list_runs(
    asked: Asked,
    source: Annotated[UUID | None, typer.Option("--source", help="Only of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
) -> None:
    """The newest runs."""
    query = {} if source is None else {"source_id": str(source)}
    found = list(asked.client.items(RunView, "/api/runs", limit=limit, **query))
    asked.show_items(
        found,
        {
            "run": lambda run: run.id,
            "source": lambda run: run.source_id,
            "type": lambda run: run.source_type,
            "trigger": lambda run: run.trigger,
            "status": lambda run: run.status,
            "read": lambda run: sum(entity.read for entity in run.entities.values()),
            "asked": lambda run: f"{run.requested_at:%Y-%m-%d %H:%M:%S}",
        },
    )


@asking(app, "show")
def show_run(
    asked: Asked,
    run_id: RunArgument,
) -> None:
    """One run with its counters."""
    run = asked.client.get(RunView, f"/api/runs/{run_id}")
    asked.show(run, summary(run))


@asking(app, "cancel")
def cancel_run(
    asked: Asked,
    run_id: RunArgument,
) -> None:
    """End a run; rows that it wrote stay."""
    run = asked.client.post(RunView, f"/api/runs/{run_id}/cancel")
    asked.show(run, f"{run.id} is {run.status}")


@asking(app, "retry")
def retry_run(
    asked: Asked,
    run_id: RunArgument,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only what did not succeed.")] = False,
) -> None:
    """The same again, as a new run."""
    again = asked.client.post(RunAccepted, f"/api/runs/{run_id}/retry", RetryRequest(failed_only=failed_only))
    asked.show(again, f"run {again.run_id}")
