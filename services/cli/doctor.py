"""`headrace doctor`: one line for each thing that must be right, and what to do where it is not."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.cli.checks import Check, check_all
from services.cli.data_dir import DEFAULT_DATA_DIR, ENDPOINTS, settings_of
from shared.clock import SystemClock
from shared.config import environment
from shared.observability.logging import configure
from shared.observability.secrets import SecretRegistry

EXIT_FAILED = 1


def doctor(
    *,
    data_dir: Annotated[
        Path, typer.Option(help="Of an embedded Headrace: looked at when HEADRACE_DATABASE_URL is not set.")
    ] = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check settings, servers, migrations and keys; exit code 0 only when all is well."""
    configure("error", "console", SecretRegistry(), SystemClock())  # what a driver says of its own accord is not asked
    environ, embedded = settings_of(environment(), data_dir)
    checks = asyncio.run(check_all(environ, embedded=embedded))
    healthy = all(check.ok for check in checks)
    if as_json:
        print(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        if embedded:
            print(f"The embedded Headrace of {data_dir / ENDPOINTS}:")
        for check in checks:
            print(_line(check))
    raise typer.Exit(0 if healthy else EXIT_FAILED)


def _line(check: Check) -> str:
    advice = f"\n    {check.advice}" if check.advice and not check.ok else ""
    return f"{'✓' if check.ok else '✗'} {check.name}: {check.found}{advice}"
