"""Spooled answers: where they are, how much they may take, and what a crash leaves."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.fetcher.alive import Life
from services.fetcher.spool_check import SpoolCheck
from services.fetcher.spooling import spooled
from shared.clock import ManualClock
from shared.connector_sdk.spool import STALE_SECONDS, SpoolSpace
from shared.connectors.finale.columns import column_table
from shared.contracts.messages import RawRecord
from shared.errors import DataError, RetryableError, StartupError


def open_in(directory: Path) -> int:
    """Files that this process holds open there, nameless ones included."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith(f"{directory}/")
        except FileNotFoundError:
            continue
    return found


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def leave(path: Path, written_at: float) -> None:
    path.write_bytes(b"left")
    os.utime(path, (written_at, written_at))


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def records() -> AsyncIterator[RawRecord]:
    yield {"id": 1}


async def test_a_connectors_file_and_the_fetchers_are_in_the_configured_directory_and_have_no_name(
    tmp_path: Path,
) -> None:
    space = SpoolSpace(tmp_path)
    async with column_table(chunks(b'{"id":[1,2]}'), "product", space) as table:
        assert (open_in(tmp_path), table.length, names_in(tmp_path)) == (1, 2, set())
        async with spooled(records(), Life(), space=space) as spool:
            assert (open_in(tmp_path), names_in(tmp_path)) == (2, set())
            assert len((await spool.batch(0)).records) == 1
    assert open_in(tmp_path) == 0


async def test_bounds_hold_for_both(tmp_path: Path) -> None:
    small, full = SpoolSpace(tmp_path, max_bytes=3), SpoolSpace(tmp_path, free_bytes=1 << 60)
    for space, error, words in ((small, DataError, "more than 3 bytes"), (full, RetryableError, "bytes are free")):
        with pytest.raises(error, match=words):
            async with column_table(chunks(b'{"id":[1,2]}'), "product", space):
                pass
        with pytest.raises(error, match=words):
            async with spooled(records(), Life(), space=space):
                pass
    assert open_in(tmp_path) == 0


async def test_a_start_removes_what_a_crash_left_and_nothing_else(tmp_path: Path) -> None:
    clock = ManualClock()
    old, fresh, others = tmp_path / "headrace-spool-old", tmp_path / "headrace-spool-new", tmp_path / "somebody-elses"
    for path, age in ((old, STALE_SECONDS + 1), (fresh, 1.0), (others, 10 * STALE_SECONDS)):
        leave(path, clock.unix() - age)
    link(tmp_path / "headrace-spool-link", others)
    async with SpoolCheck(SpoolSpace(tmp_path), clock):
        assert names_in(tmp_path) == {"headrace-spool-new", "somebody-elses", "headrace-spool-link"}
        async with SpoolCheck(SpoolSpace(tmp_path), clock):
            assert len(names_in(tmp_path)) == 3


async def test_a_directory_that_takes_no_file_is_named_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"HEADRACE_SPOOL_DIR: no file can be made in .*gone"):
        async with SpoolCheck(SpoolSpace(tmp_path / "gone"), ManualClock()):
            pass
