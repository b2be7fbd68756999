"""`headrace runs list|show|cancel|retry`."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.commands.common import DataDirOption, JsonOption, TokenOption, UrlOption, gateway, show, show_items
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


@app.command("list")
def list_runs(
    source: Annotated[UUID | None, typer.Option("--source", help="Only of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest runs."""
    with gateway(url, token, data_dir) as client:
        query = {} if source is None else {"source_id": str(source)}
        found = list(client.items(RunView, "/api/runs", limit=limit, **query))
        show_items(
            found,
            as_json,
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


@app.command("show")
def show_run(
    run_id: RunArgument,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """One run with its counters."""
    with gateway(url, token, data_dir) as client:
        run = client.get(RunView, f"/api/runs/{run_id}")
        show(run, as_json, summary(run))


@app.command("cancel")
def cancel_run(
    run_id: RunArgument,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a run; rows that it wrote stay."""
    with gateway(url, token, data_dir) as client:
        run = client.post(RunView, f"/api/runs/{run_id}/cancel")
        show(run, as_json, f"{run.id} is {run.status}")


@app.command("retry")
def retry_run(
    run_id: RunArgument,
    failed_only: Annotated[bool, typer.Option("--failed-only", help="Only what did not succeed.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The same again, as a new run."""
    with gateway(url, token, data_dir) as client:
        again = client.post(RunAccepted, f"/api/runs/{run_id}/retry", RetryRequest(failed_only=failed_only))
        show(again, as_json, f"run {again.run_id}")
