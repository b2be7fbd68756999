"""`headrace keys generate|rotate|check`."""

import asyncio
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.data_dir import DEFAULT_DATA_DIR, settings_of
from services.cli.inspection import inspecting
from services.cli.resealing import ROLE, Resealer, Resealing
from services.cli.resealing_grants import GrantResealer, GrantResealing
from services.cli.resealing_webhooks import WebhookResealing, reseal_webhook_secrets, webhook_keys
from services.fetcher.settings import FetcherSettings
from shared.clock import SystemClock
from shared.config import environment, load
from shared.connector_sdk.registry import discover_specs
from shared.errors import StartupError
from shared.runtime.resources import PlatformSettings
from shared.sealing.keyring import KeyRing, generate_key
from shared.sealing.keytext import require_kid
from shared.sealing.symmetric import SymmetricBox
from shared.storage.database import open_database
from shared.storage.sealing_keys import InUse

app = typer.Typer(help="The keys that credentials are sealed under.", no_args_is_help=True)

EXIT_FAILED = 1
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataDirOption = Annotated[
    Path,
    typer.Option("--data-dir", help="Of an embedded Headrace: looked at when HEADRACE_DATABASE_URL is not set."),
]


class _Stored(NamedTuple):
    """Credentials and tokens, and webhook secrets, by key's name; `foreign`: names that stand for other keys."""

    in_use: Mapping[str, InUse]
    foreign: list[str]
    webhook_secrets: Mapping[str, int]


class _Rotation(NamedTuple):
    """What became of each kind."""

    credentials: Resealing
    tokens: GrantResealing
    webhooks: WebhookResealing


@app.command()
def generate(
    kid: Annotated[
        str | None, typer.Option("--kid", help="The key's name. Default: today's date and a few random letters.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print a new key, NAME:BASE64, for HEADRACE_MASTER_KEYS or HEADRACE_WEBHOOK_KEYS. To rotate, put it first."""
    name = kid or f"{SystemClock().now():%Y%m%d}-{secrets.token_hex(3)}"
    try:
        key = generate_key(require_kid(name))
    except ValueError as error:
        raise StartupError(f"--kid: {error}") from None
    print(json.dumps({"kid": name, "key": key}) if as_json else key)


@app.command()
def check(*, data_dir: DataDirOption = DEFAULT_DATA_DIR, as_json: JsonOption = False) -> None:
    """What each key still holds, and whether HEADRACE_MASTER_KEYS opens all of it: exit code 0 only then."""
    ring, platform, _ = _settings(data_dir)
    stored = asyncio.run(_stored(ring, platform))
    in_use, foreign, webhooks = stored.in_use, stored.foreign, stored.webhook_secrets
    unknown = sorted(in_use.keys() - set(ring.kids))
    if as_json:
        document = {
            "ok": not unknown and not foreign,
            "current": ring.current_kid,
            "keys": list(ring.kids),
            "foreign": foreign,
            "boxes": {kid: found.boxes for kid, found in in_use.items() if found.boxes},
            "oauth_tokens": {kid: found.tokens for kid, found in in_use.items() if found.tokens},
            "webhook_secrets": dict(webhooks),
        }
        print(json.dumps(document))
    else:
        for kid in (*ring.kids, *unknown):
            found = in_use.get(kid, InUse(0, 0))
            consents = f" and the tokens of {found.tokens} consents" if found.tokens else ""
            print(f"{kid}: {found.boxes} sealed{consents} ({_role(kid, ring, foreign)})")
        for kid, count in webhooks.items():
            print(f"webhook key {kid}: {count} secrets")
    if foreign:
        raise StartupError(
            f"HEADRACE_MASTER_KEYS: {', '.join(foreign)} is not the key of that name that the fetchers use",
            hint="Put that key's own text back. A new key needs a name of its own.",
        )
    if unknown:
        raise StartupError(
            f"HEADRACE_MASTER_KEYS lacks {', '.join(unknown)}: what is sealed under it cannot be opened",
            hint="Add the old key at the end of the list, or enter those sources' credentials again.",
        )


@app.command()
def rotate(
    *,
    erase_lost: Annotated[
        bool,
        typer.Option(
            "--erase-lost", help="Erase what is sealed under a key that HEADRACE_MASTER_KEYS lacks: for ever."
        ),
    ] = False,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    as_json: JsonOption = False,
) -> None:
    """Seal everything stored anew under the first key of HEADRACE_MASTER_KEYS; exit code 0 when nothing is left.

    Everything may run meanwhile, once every fetcher has both keys. Safe to stop and to run again.
    """
    ring, platform, signing = _settings(data_dir)
    rotation = asyncio.run(_rotated(ring, signing, platform, erase_lost=erase_lost))
    done, tokens, webhooks = rotation.credentials, rotation.tokens, rotation.webhooks
    ok = not done.left and not tokens.left and not webhooks.failed
    if as_json:
        document = {"ok": ok, **asdict(done), "oauth_tokens": asdict(tokens), "webhook_secrets": asdict(webhooks)}
        print(json.dumps(document, default=str))
    else:
        print(_summary(rotation))
    if done.newcomer and (done.resealed or tokens.resealed):
        sys.stderr.write(
            f"headrace: no fetcher has started with {done.current} yet; one that runs without it cannot open these.\n"
        )
    if not ok:
        raise typer.Exit(EXIT_FAILED)


def _settings(data_dir: Path) -> tuple[KeyRing, PlatformSettings, SymmetricBox]:
    environ, _ = settings_of(environment(), data_dir)
    ring = KeyRing.parse(load(FetcherSettings, environ).master_keys.get_secret_value())
    return ring, load(PlatformSettings, environ), webhook_keys(environ, ring)


def _role(kid: str, ring: KeyRing, foreign: list[str]) -> str:
    if kid in foreign:
        return "ANOTHER KEY OF THE SAME NAME"
    if kid not in ring.kids:
        return "NOT IN THE RING"
    return "current" if kid == ring.current_kid else "older, still opens"


def _summary(rotation: _Rotation) -> str:
    done, tokens, webhooks = rotation.credentials, rotation.tokens, rotation.webhooks
    lines = [f"{done.resealed} sealed anew under {done.current}"]
    if done.erased:
        lines.append(f"{done.erased} erased: no key opens them; their credentials must be entered again")
    if done.changed_meanwhile:
        lines.append(f"{done.changed_meanwhile} changed by their users meanwhile, and looked at again")
    lines += [f"source {each.source_id}, under {each.kid}: {each.reason}" for each in done.failed]
    lines += [f"{kid or 'no key'}: {boxes} sealed" for kid, boxes in done.keys.items()]
    lines.append(f"the tokens of {tokens.resealed} consents sealed anew")
    if tokens.erased:
        lines.append(f"the tokens of {tokens.erased} consents erased: their sources may have to be connected again")
    lines += [f"consent {each.consent}, under {each.kid}: {each.reason}" for each in tokens.failed]
    if tokens.left and not tokens.failed:
        lines.append("Tokens are still sealed under an older key: does every fetcher have the new one first?")
    lines.append(f"{webhooks.resealed} webhook secrets sealed anew")
    lines += [f"source {each}: no key opens its webhook secret; make a new one" for each in webhooks.failed]
    if done.left and not done.failed:
        lines.append("Credentials are still sealed under an older key: is the gateway's HEADRACE_SEAL_KEYS up to date?")
    return "\n".join(lines)


async def _rotated(ring: KeyRing, signing: SymmetricBox, platform: PlatformSettings, *, erase_lost: bool) -> _Rotation:
    await _stored(ring, platform)  # refuses a database that is not up to date
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    dsn, schema = platform.require("database_url"), platform.schema_name
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("sealing anew", total=None)
        async with open_database(dsn, role=ROLE, schema=schema, application="headrace keys rotate", max_size=1) as db:
            specs = discover_specs()
            resealer = Resealer(db, ring, specs, erase_lost=erase_lost)
            done = await resealer.run(lambda done, total: progress.update(bar, completed=done, total=total))
            bar = progress.add_task("tokens of consents", total=None)
            consents = GrantResealer(db, ring, specs, erase_lost=erase_lost)
            tokens = await consents.run(lambda done, total: progress.update(bar, completed=done, total=total))
            return _Rotation(done, tokens, await reseal_webhook_secrets(db, signing))


async def _stored(ring: KeyRing, platform: PlatformSettings) -> _Stored:
    async with inspecting(platform) as database:
        if await database.pending():
            raise StartupError("The database is not up to date", hint="Run `headrace migrate`.")
        return _Stored(
            await database.kids_in_use(),
            await database.foreign_names(ring.public().halves),
            await database.webhook_secrets_by_kid(),
        )
