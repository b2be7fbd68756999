"""`headrace quarantine list`."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.commands.common import Asked, asking
from shared.storage.quarantine import QuarantinedRecord

app = typer.Typer(help="Records that could not become rows.", no_args_is_help=True)


@asking(app, "list")
def list_records(
    asked: Asked,
    source: Annotated[UUID | None, typer.Option("--source", help="Only of this source.")] = None,
    run: Annotated[UUID | None, typer.Option("--run", help="Only what this run quarantined.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="inventory, vendors or purchase_orders")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also what a later run settled.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 100,
) -> None:
    """The newest records, each with its reason; the raw record with --json."""
    wanted = {
        "source_id": source,
        "run_id": run,
        "entity": entity,
        "include_resolved": "true" if resolved else None,
    }
    query = {name: str(value) for name, value in wanted.items() if value is not None}
    found = list(asked.client.items(QuarantinedRecord, "/api/quarantine", limit=limit, **query))
    asked.show_items(
        found,
        {
            "source": lambda record: record.source_id,
            "entity": lambda record: record.entity,
            "external id": lambda record: record.external_id,
            "field": lambda record: record.field,
            "reason": lambda record: record.reason,
            "when": lambda record: f"{record.created_at:%Y-%m-%d %H:%M:%S}",
        },
    )
