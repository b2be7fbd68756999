"""`headrace keys generate|check`."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Annotated

import typer

from services.cli.inspection import inspecting
from services.fetcher.settings import FetcherSettings
from shared.clock import SystemClock
from shared.config import load
from shared.errors import StartupError
from shared.runtime.resources import PlatformSettings
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.keytext import require_kid

app = typer.Typer(help="The keys that credentials are sealed under.", no_args_is_help=True)


@app.command()
def generate(
    kid: Annotated[
        str | None, typer.Option("--kid", help="The key's name. Default: today's date and a few random letters.")
    ] = None,
) -> None:
    """Print a new key, NAME:BASE64, for HEADRACE_MASTER_KEYS or HEADRACE_WEBHOOK_KEYS. To rotate, put it first."""
    name = kid or f"{SystemClock().now():%Y%m%d}-{secrets.token_hex(3)}"
    try:
        print(generate_key(require_kid(name)))
    except ValueError as error:
        raise StartupError(f"--kid: {error}") from None


@app.command()
def check(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check that HEADRACE_MASTER_KEYS can open every stored credential: exit code 0 only then."""
    ring = KeyRing.parse(load(FetcherSettings).master_keys.get_secret_value())
    boxes = asyncio.run(_boxes())
    unknown = sorted(set(boxes) - set(ring.kids))
    if as_json:
        document = {"ok": not unknown, "current": ring.current_kid, "keys": list(ring.kids), "boxes": dict(boxes)}
        print(json.dumps(document))
    else:
        for kid in (*ring.kids, *unknown):
            role = (
                "current"
                if kid == ring.current_kid
                else "older, still opens"
                if kid in ring.kids
                else "NOT IN THE RING"
            )
            print(f"{kid}: {boxes.get(kid, 0)} sealed ({role})")
    if unknown:
        raise StartupError(
            f"HEADRACE_MASTER_KEYS lacks {', '.join(unknown)}: what is sealed under it cannot be opened",
            hint="Add the old key at the end of the list, or enter those sources' credentials again.",
        )


async def _boxes() -> Mapping[str, int]:
    async with inspecting(load(PlatformSettings)) as database:
        if await database.pending():
            raise StartupError("The database is not up to date", hint="Run `headrace migrate`.")
        return await database.boxes_by_kid()
