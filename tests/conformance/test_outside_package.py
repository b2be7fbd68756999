"""A connector outside this repository: installed, found by its entry points, checked by the command in a process."""

import ast
import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sample import EXAMPLE, PACKAGE, planted

ROOT = Path(__file__).parents[2]
ALLOWED = {"shared.connector_sdk.public", "shared.connector_sdk.conformance.description"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the example, unpacked where nothing else is."""
    folder = tmp_path_factory.mktemp("outside")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", folder / "site", planted(folder)]
    subprocess.run(command, check=True)
    return folder / "site"


async def _headrace(site: Path, *arguments: str) -> tuple[int, str]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *arguments, env=environ, cwd=site, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_an_installed_connector_passes_by_name(site: Path) -> None:
    code, shown = await _headrace(site, "connectors", "check", "sample")

    assert code == 0, shown
    assert "sample: 23 passed, 0 failed, 0 exempt" in shown


async def test_a_defect_is_exit_code_1_and_named(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    # Without what was compiled: a file of the same length that is changed within a second would not be looked at again.
    await asyncio.to_thread(shutil.copytree, site, broken, ignore=shutil.ignore_patterns("__pycache__"))
    config = broken / PACKAGE / "config.py"
    config.write_text(config.read_text().replace("base_url: Url", "base_url: str"))

    code, shown = await _headrace(broken, "connectors", "check", "sample", "--json")

    report = json.loads(shown)
    assert code == 1
    assert not report["ok"]
    assert [row["rule"] for row in report["results"] if row["outcome"] == "failed"] == ["secret_names_refused"]


@pytest.mark.parametrize("path", sorted(EXAMPLE.rglob("*.py")), ids=lambda path: path.name)
def test_the_example_imports_only_the_public_sdk(path: Path) -> None:
    tree = ast.parse(path.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    ours = {name for name in modules if name.partition(".")[0] in {"shared", "services", "sandboxes", "bench"}}
    assert ours <= ALLOWED
