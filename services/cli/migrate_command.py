"""`headrace migrate`."""

import asyncio

from services.cli.living import process_settings
from services.cli.migrating import migrate_now
from shared.clock import SystemClock
from shared.config import load
from shared.observability.logging import configure
from shared.observability.secrets import SecretRegistry
from shared.runtime.resources import PlatformSettings


def migrate() -> None:
    """Bring the database (HEADRACE_DATABASE_URL, HEADRACE_SCHEMA) up to date. Safe to run twice, and at once."""
    settings = process_settings()
    configure(settings.log_level, settings.log_format, SecretRegistry(), SystemClock())
    platform = load(PlatformSettings)
    applied = asyncio.run(migrate_now(platform))
    for name in applied:
        print(f"applied {name}")
    print(f"Schema {platform.schema_name} is up to date" + (f", {len(applied)} applied." if applied else " already."))
