"""`headrace dead-letters list|replay|drop`."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.commands.common import Asked, asking
from services.gateway.routes.dead_letters import ReplayAccepted
from shared.storage.dead_letters import DeadLetterView

app = typer.Typer(help="Messages that could not be handled (for administrators).", no_args_is_help=True)

LetterArgument = Annotated[UUID, typer.Argument(help="The letter's id.", metavar="LETTER")]


@asking(app, "list")
def list_letters(
    asked: Asked,
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were replayed already.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 100,
) -> None:
    """The newest letters of all tenants."""
    query = {"include_replayed": "true"} if replayed else {}
    found = list(asked.client.items(DeadLetterView, "/api/ops/dead-letters", limit=limit, **query))
    asked.show_items(
        found,
        {
            "letter": lambda letter: letter.id,
            "queue": lambda letter: letter.queue,
            "run": lambda letter: letter.run_id,
            "entity": lambda letter: letter.entity,
            "category": lambda letter: letter.category,
            "reason": lambda letter: letter.reason,
            "when": lambda letter: f"{letter.created_at:%Y-%m-%d %H:%M:%S}",
            "replayed": lambda letter: f"{letter.replayed_at:%Y-%m-%d %H:%M:%S}" if letter.replayed_at else "",
        },
    )


@asking(app, "replay")
def replay_letter(
    asked: Asked,
    letter_id: LetterArgument,
) -> None:
    """Run its entity again in a new run; a public request is published again."""
    replayed = asked.client.post(ReplayAccepted, f"/api/ops/dead-letters/{letter_id}/replay")
    what = "the request is published again" if replayed.run_id is None else f"run {replayed.run_id}"
    asked.show(replayed, what)


@asking(app, "drop")
def drop_letter(
    asked: Asked,
    letter_id: LetterArgument,
) -> None:
    """Forget it for good."""
    dropped = asked.client.post(DeadLetterView, f"/api/ops/dead-letters/{letter_id}/drop")
    asked.show(dropped, f"{dropped.id} is dropped")
