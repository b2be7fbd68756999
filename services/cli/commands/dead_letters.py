"""`headrace dead-letters list|replay|drop`."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.commands.common import DataDirOption, JsonOption, TokenOption, UrlOption, gateway, show, show_items
from services.gateway.routes.dead_letters import ReplayAccepted
from shared.storage.dead_letters import DeadLetterView

app = typer.Typer(help="Messages that could not be handled (for administrators).", no_args_is_help=True)

LetterArgument = Annotated[UUID, typer.Argument(help="The letter's id.", metavar="LETTER")]


@app.command("list")
def list_letters(
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that were replayed already.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 100,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest letters of all tenants."""
    with gateway(url, token, data_dir) as client:
        query = {"include_replayed": "true"} if replayed else {}
        found = list(client.items(DeadLetterView, "/api/ops/dead-letters", limit=limit, **query))
        show_items(
            found,
            as_json,
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


@app.command("replay")
def replay_letter(
    letter_id: LetterArgument,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run its entity again in a new run; a public request is published again."""
    with gateway(url, token, data_dir) as client:
        replayed = client.post(ReplayAccepted, f"/api/ops/dead-letters/{letter_id}/replay")
        what = "the request is published again" if replayed.run_id is None else f"run {replayed.run_id}"
        show(replayed, as_json, what)


@app.command("drop")
def drop_letter(
    letter_id: LetterArgument,
    url: UrlOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget it for good."""
    with gateway(url, token, data_dir) as client:
        dropped = client.post(DeadLetterView, f"/api/ops/dead-letters/{letter_id}/drop")
        show(dropped, as_json, f"{dropped.id} is dropped")
