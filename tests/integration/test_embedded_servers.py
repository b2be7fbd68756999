"""The embedded PostgreSQL and Valkey: they start, keep their data, and take over what a crash left behind."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from services.cli.stack import EmbeddedServers
from services.cli.stack import places as places_module
from services.cli.stack import process as process_module
from services.cli.stack.binaries import postgres_bin
from shared.errors import StartupError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand PostgreSQL to another account")

_HOLD = """
import asyncio, sys
from pathlib import Path
from services.cli.stack import EmbeddedServers
async def main():
    async with EmbeddedServers(Path(sys.argv[1]), True, shared_candidates=(Path(sys.argv[2]),)) as servers:
        print(servers.database_url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Stands for /var/lib: a place that every account can reach."""
    place = Path(tempfile.mkdtemp(prefix="headrace-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def start(shared: Path) -> Callable[[Path], EmbeddedServers]:
    return lambda data_dir: EmbeddedServers(data_dir, durable=False, shared_candidates=(shared,))


async def _ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def _cluster(data_dir: Path) -> Path:
    note = data_dir / "postgres.location"
    return Path(note.read_text().strip()) if note.exists() else data_dir / "postgres"


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _owner(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


def _pids(data_dir: Path) -> tuple[int, int]:
    """Of the postmaster and of Valkey."""
    postmaster = int((_cluster(data_dir) / "data" / "postmaster.pid").read_text().split()[0])
    return postmaster, int((data_dir / "valkey" / "valkey.pid").read_text())


async def _gone(*pids: int) -> bool:
    return all([await process_module.wait_until_gone(pid, 5) for pid in pids])


async def test_a_restart_keeps_rows_and_keys(tmp_path: Path, start: Callable[[Path], EmbeddedServers]) -> None:
    async with start(tmp_path / "new" / "dir") as servers:
        assert await _ask(servers.database_url, "select current_setting('is_superuser')") == "on"
        await _ask(servers.database_url, "create table kept as select 7 as n")
        async with Redis.from_url(servers.redis_url) as redis:
            await redis.set("kept", "yes")
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
            assert (await redis.config_get("appendonly"))["appendonly"] == "yes"
        pids = _pids(tmp_path / "new" / "dir")
    assert await _gone(*pids)
    began = time.monotonic()
    async with start(tmp_path / "new" / "dir") as servers:
        assert await _ask(servers.database_url, "select n from kept") == 7
        async with Redis.from_url(servers.redis_url, decode_responses=True) as redis:
            assert await redis.get("kept") == "yes"
    assert time.monotonic() - began < 10


async def test_text_is_unicode_and_sorts_by_code_point(
    tmp_path: Path, start: Callable[[Path], EmbeddedServers]
) -> None:
    async with start(tmp_path) as servers:
        assert await _ask(servers.database_url, "select 'a' > 'B'") is True
        assert await _ask(servers.database_url, "select upper('é')") == "É"


async def test_passwords_are_private_and_needed(tmp_path: Path, start: Callable[[Path], EmbeddedServers]) -> None:
    async with start(tmp_path) as servers:
        for name in ("postgres.password", "valkey.password", "valkey/valkey.conf", "postgres.log", "valkey.log"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
        password = (tmp_path / "postgres.password").read_text()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _ask(servers.database_url.replace(password, "guess"), "select 1")
        arguments = [_command(pid) for pid in _pids(tmp_path)]
        assert not any(password in text or (tmp_path / "valkey.password").read_text() in text for text in arguments)


async def test_servers_of_a_killed_parent_are_taken_over(
    tmp_path: Path, shared: Path, start: Callable[[Path], EmbeddedServers]
) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, tmp_path, shared, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    try:
        url = (await asyncio.wait_for(parent.stdout.readline(), 30)).decode().strip()
        await _ask(url, "create table kept as select 7 as n")
        with pytest.raises(StartupError, match="Another process runs"):
            await start(tmp_path).__aenter__()
        left = _pids(tmp_path)
    finally:
        parent.kill()
        await parent.wait()
    assert all(process_module.alive(pid) for pid in left)
    async with start(tmp_path) as servers:
        assert await _gone(*left)
        assert await _ask(servers.database_url, "select n from kept") == 7
        assert set(_pids(tmp_path)).isdisjoint(left)


@pytest.mark.parametrize("owner", ["nobody left", "a stranger"])
async def test_a_stale_pid_file_does_not_stop_the_next_start(
    tmp_path: Path, owner: str, start: Callable[[Path], EmbeddedServers]
) -> None:
    async with start(tmp_path) as servers:
        await _ask(servers.database_url, "create table kept as select 7 as n")
        await _ask(servers.database_url, "checkpoint")
        pids = _pids(tmp_path)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert "ended with code -9" in await asyncio.wait_for(servers.ended(), 10)
    cluster = _cluster(tmp_path)
    pid_file = cluster / "data" / "postmaster.pid"
    assert pid_file.exists()
    # A recycled pid of the same account is what PostgreSQL itself takes for a live server.
    account = _owner(cluster) if os.geteuid() == 0 else None
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=account)
    try:
        if owner == "a stranger":
            first, rest = pid_file.read_text().split("\n", 1)
            assert int(first) == pids[0]
            pid_file.write_text(f"{stranger.pid}\n{rest}")
            (tmp_path / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
        async with start(tmp_path) as servers:
            assert await _ask(servers.database_url, "select n from kept") == 7
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_half_of_a_cluster_is_made_anew(tmp_path: Path, start: Callable[[Path], EmbeddedServers]) -> None:
    async with start(tmp_path):
        cluster = _cluster(tmp_path)
    (cluster / "data").rename(cluster / "data.part")
    (cluster / "data.part" / "PG_VERSION").unlink()
    async with start(tmp_path) as servers:
        assert await _ask(servers.database_url, "select 1") == 1
    assert not (cluster / "data.part").exists()


async def test_a_cluster_of_another_major_version_is_refused(
    tmp_path: Path, start: Callable[[Path], EmbeddedServers]
) -> None:
    async with start(tmp_path):
        cluster = _cluster(tmp_path)
    (cluster / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(StartupError, match="made by PostgreSQL 15"):
        await start(tmp_path).__aenter__()


@as_root
async def test_root_keeps_the_cluster_where_its_account_can_go(
    tmp_path: Path, shared: Path, start: Callable[[Path], EmbeddedServers]
) -> None:
    private, public = tmp_path / "private", shared / "public"
    private.mkdir(mode=0o700)
    before = {path: path.stat().st_mode for path in [private, *private.parents]}
    async with start(private / "data"):
        cluster = _cluster(private / "data")
        assert cluster.is_relative_to(shared)
        assert _owner(cluster) == _owner(Path(f"/proc/{_pids(private / 'data')[0]}")) == "nobody"
    async with start(public):
        assert not (public / "postgres.location").exists()
        assert (public / "postgres" / "data").is_dir()
    assert {path: path.stat().st_mode for path in before} == before

    shutil.rmtree(private / "data")  # its password went with it: the cluster of the same name is begun anew
    async with start(private / "data") as servers:
        assert await _ask(servers.database_url, "select 1") == 1
    shutil.rmtree(cluster)
    with pytest.raises(StartupError, match="is gone"):
        await start(private / "data").__aenter__()


@as_root
def test_a_copy_that_others_may_write_is_not_run(tmp_path: Path) -> None:
    place = Path(tempfile.mkdtemp(prefix="headrace-test-"))
    place.chmod(0o755)
    try:
        account = places_module.server_account(tmp_path / "none yet")
        program = postgres_bin(account, (place,)) / "postgres"
        assert postgres_bin(account, (place,)) == program.parent
        program.chmod(0o757)
        with pytest.raises(StartupError, match="not ours alone"):
            postgres_bin(account, (place,))
    finally:
        shutil.rmtree(place)


@as_root
def test_a_squatted_shared_place_is_passed_by(tmp_path: Path) -> None:
    squatted, free = tmp_path / "squatted", tmp_path / "free"
    for place in (squatted, free):
        place.mkdir()
    (squatted / "headrace-embedded").symlink_to(tmp_path)
    account = places_module.Account(uid=os.geteuid(), gid=os.getegid())
    assert places_module.shared_root(account, (squatted, free)) == free / "headrace-embedded"
    with pytest.raises(StartupError, match="No directory"):
        places_module.shared_root(places_module.Account(uid=65534, gid=65534), (free / "headrace-embedded" / "none",))
