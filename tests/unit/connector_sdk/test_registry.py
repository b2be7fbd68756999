"""Connectors are found by folder and by entry point; specs without their sources."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.connector_sdk.registry import Registry, discover, discover_specs
from shared.connectors.json_api.source import CONNECTOR
from shared.errors import ConfigurationError, StartupError

SPEC = """
from dataclasses import replace
from shared.connectors.json_api.spec import SPEC as BASE
SPEC = replace(BASE, source_type={name!r})
"""
SOURCE = """
from {package}.spec import SPEC
class Made:
    spec = SPEC
CONNECTOR = Made()
"""


def make_connector(root: Path, package: str, name: str) -> None:
    folder = root.joinpath(*package.split("."))
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "spec.py").write_text(SPEC.format(name=name))
    (folder / "source.py").write_text(SOURCE.format(package=package))


@pytest.fixture
def packages(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str]]:
    """A folder on the import path, and the name of a fresh package of connectors in it."""
    package = f"made_{abs(hash(request.node.nodeid))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    sys.path.insert(0, str(tmp_path))
    yield tmp_path, package
    sys.path.remove(str(tmp_path))


def test_a_new_folder_is_a_new_connector(packages: tuple[Path, str]) -> None:
    root, package = packages
    make_connector(root, f"{package}.beta", "beta")
    make_connector(root, f"{package}.alpha", "alpha")

    assert list(discover_specs(package, "none")) == ["alpha", "beta"]
    assert list(discover(package, "none").specs()) == ["alpha", "beta"]
    assert discover(package, "none").get("beta").spec.source_type == "beta"


def test_an_installed_package_brings_its_connector(packages: tuple[Path, str]) -> None:
    root, package = packages
    outside = f"{package}_outside"
    make_connector(root, outside, "acme")
    metadata = root / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[made.connectors]\nacme = {outside}\n")

    assert list(discover_specs(package, "made.connectors")) == ["acme"]
    assert list(discover(package, "made.connectors").specs()) == ["acme"]


def test_a_name_used_twice_fails(packages: tuple[Path, str]) -> None:
    root, package = packages
    make_connector(root, f"{package}.one", "same")
    make_connector(root, f"{package}.two", "same")

    for find in (discover, discover_specs):
        with pytest.raises(StartupError, match="same"):
            find(package, "none")


def test_a_folder_that_is_no_connector_is_named(packages: tuple[Path, str]) -> None:
    root, package = packages
    (root / package / "broken").mkdir()
    (root / package / "broken" / "__init__.py").touch()

    with pytest.raises(StartupError, match=f"{package}.broken"):
        discover_specs(package, "none")


def test_an_unknown_type_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="'sap'") as caught:
        Registry([CONNECTOR]).get("sap")
    assert "json_api" in caught.value.hint


def test_finding_specs_imports_no_http_client() -> None:
    """The gateway must not be able to call a vendor, so what it loads must not bring the means."""
    code = (
        "import sys; from shared.connector_sdk.registry import discover_specs; assert 'json_api' in discover_specs();"
        "print([name for name in sys.modules if name == 'aiohttp' or name.endswith('.source')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
