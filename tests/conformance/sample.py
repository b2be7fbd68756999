"""The example connector, as it is or with planted defects, imported under a name of its own."""

import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from services.cli.conformance.running import map_records
from shared.connector_sdk.conformance.checking import Kit

EXAMPLE = Path(__file__).parents[2] / "examples" / "sample_connector"
PACKAGE = "headrace_sample"

Defect = tuple[str, str, str]
"""(file, text in it, what to put in its place)."""


def planted(target: Path, *defects: Defect, name: str = PACKAGE) -> Path:
    """A copy of the example in `target`, with these defects; returns its root. AssertionError for a text not found."""
    root = target / "sample_connector"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    for file, text, other in defects:
        path = root / PACKAGE / file
        content = path.read_text()
        assert content.count(text) == 1, f"{file} holds {text!r} {content.count(text)} times"
        path.write_text(content.replace(text, other))
    if name != PACKAGE:
        (root / PACKAGE).rename(root / name)
        for path in (root / name).glob("*.py"):
            path.write_text(path.read_text().replace(PACKAGE, name))
    return root


@contextmanager
def kit_of_sample(
    target: Path, defects: tuple[Defect, ...], name: str, exempt: Mapping[str, str] | None = None
) -> Iterator[Kit]:
    """The kit on such a copy."""
    root = planted(target, *defects, name=name)
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
        connector = importlib.import_module(f"{name}.source").CONNECTOR
        description = importlib.import_module(f"{name}.conformance").CONFORMANCE
        if exempt is not None:
            description = type(description)(description.setups, exempt)
        yield Kit(connector, description, map_records)
    finally:
        sys.path.remove(str(root))
        for module in [found for found in sys.modules if found.partition(".")[0] == name]:
            del sys.modules[module]
