"""`headrace demo` as a newcomer runs it, and when what it promises is not so."""

import asyncio
import re
import sys
from pathlib import Path

from up_harness import COMMAND

COLUMNS = ["source_type", "entity", "read", "inserted", "updated", "unchanged", "quarantined", "seconds"]
NORTHWIND = {
    "json_api": {"inventory": 77, "vendors": 29, "purchase_orders": 58},
    "csv_api": {"inventory": 77, "vendors": 29},
}

_LYING_SANDBOX = """
import dataclasses, sys
from services.cli.demo import run_demo
from services.cli.demo_screen import DemoScreen
from services.cli.demo_sources import DEMO_SOURCES
from shared.errors import HeadraceError
source = next(each for each in DEMO_SOURCES if each.source_type == "json_api")
def sandbox(secret):
    real = source.sandbox(secret)
    return dataclasses.replace(real, truth=lambda: {**real.truth(), "vendors": 30})
try:
    run_demo([dataclasses.replace(source, sandbox=sandbox)], DemoScreen(sys.stdout))
except HeadraceError as error:
    print(error.message, error.hint)
    sys.exit(1)
"""


async def test_the_demo_inserts_all_then_changes_nothing_and_cleans_up(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    code, said = await _run(*COMMAND, "demo", temporary=private)

    assert code == 0, said
    first, second = _tables(said)
    for source_type, truth in NORTHWIND.items():
        lines = [line for line in first if line["source_type"] == source_type]
        assert {line["entity"]: int(line["inserted"]) for line in lines} == truth
    for before, after in zip(first, second, strict=True):
        assert int(before["read"]) == int(before["inserted"]) > 0
        assert int(after["unchanged"]) == int(after["read"]) == int(before["read"])
        assert {after["inserted"], after["updated"], after["quarantined"]} == {"0"}
    assert list(private.iterdir()) == []
    assert "\x1b" not in said, "colours belong to terminals"


async def test_a_demo_whose_rows_do_not_match_the_vendor_fails_and_keeps_its_log(tmp_path: Path) -> None:
    code, said = await _run(sys.executable, "-c", _LYING_SANDBOX, temporary=tmp_path)

    assert code == 1
    assert "of 30 vendors, 29 were read" in said
    log = re.search(r"The log is (\S+)\.$", said, re.MULTILINE)
    assert log is not None
    assert "started" in await asyncio.to_thread(Path(log[1]).read_text)


async def _run(*command: str, temporary: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(80):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


def _tables(said: str) -> list[list[dict[str, str]]]:
    tables: list[list[dict[str, str]]] = []
    for line in said.splitlines():
        cells = line.split()
        if cells == COLUMNS:
            tables.append([])
        elif tables and len(cells) == len(COLUMNS):
            tables[-1].append(dict(zip(COLUMNS, cells, strict=True)))
    return tables
