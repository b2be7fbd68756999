"""What tests against real accounts take from the shell: one that lacks a variable fails and names all that it needs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from shared.clock import SystemClock
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy

_ADDRESSES = ("FINALE_BASE_URL", "INTUIT_BASE_URL")


def of_shell(*names: str) -> tuple[str, ...]:
    """Their values."""
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        pytest.fail(
            f"set {', '.join(names)} ({', '.join(missing)} missing); CONTRIBUTING.md tells of them", pytrace=False
        )
    return tuple(os.environ[name] for name in names)


def chosen(name: str) -> str | None:
    """The value of a variable that may be left out."""
    return os.environ.get(name) or None


@asynccontextmanager
async def calling() -> AsyncIterator[HttpClient]:
    """Calls public addresses alone, and the stand-ins that the shell names."""
    others = [urlsplit(text).netloc for name in _ADDRESSES if (text := chosen(name)) is not None]
    async with HttpClient(EgressPolicy.parse(",".join(others)), SystemClock()) as client:
        yield client
