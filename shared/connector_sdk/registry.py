"""Finds the connectors. The only place of dynamic imports: a new connector is a new folder, and no edit elsewhere.

A connector is a package with `spec.py` (`SPEC: ConnectorSpec`, pure) and `source.py` (`CONNECTOR: Connector`). It lies
in `shared.connectors`, or is named by an entry point of the group `headrace.connectors` whose value is the package.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from shared.connector_sdk.protocol import Connector
from shared.connector_sdk.spec import ConnectorSpec
from shared.errors import ConfigurationError, StartupError

PACKAGE = "shared.connectors"
ENTRY_POINTS = "headrace.connectors"


_Item = TypeVar("_Item")


class Registry:
    """Connectors by source type."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        """Raises StartupError when two have the same source type."""
        self._connectors = _by_type((connector.spec.source_type, connector) for connector in connectors)

    def get(self, source_type: str) -> Connector:
        """Raises ConfigurationError for a type that nobody provides."""
        found = self._connectors.get(source_type)
        if found is None:
            known = f"Known: {', '.join(self._connectors)}."
            raise ConfigurationError(f"there is no connector for source_type {source_type!r}", hint=known)
        return found

    def specs(self) -> Mapping[str, ConnectorSpec]:
        """Every spec by source type, in alphabetical order."""
        return {name: connector.spec for name, connector in self._connectors.items()}


def discover(package: str = PACKAGE, group: str = ENTRY_POINTS) -> Registry:
    """All connectors, ready to open sources. Raises StartupError naming the package that is wrong."""
    return Registry(_load(name, "source", "CONNECTOR") for name in _packages(package, group))


def discover_specs(package: str = PACKAGE, group: str = ENTRY_POINTS) -> Mapping[str, ConnectorSpec]:
    """All specs by source type; imports no code that could call a vendor. Raises StartupError as discover does."""
    specs = (_load(name, "spec", "SPEC") for name in _packages(package, group))
    return _by_type((spec.source_type, spec) for spec in specs)


def _packages(package: str, group: str) -> list[str]:
    path = importlib.import_module(package).__path__
    own = [f"{package}.{module.name}" for module in pkgutil.iter_modules(path) if module.ispkg]
    return own + [entry.value for entry in entry_points(group=group)]


def _load(package: str, module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"{package}.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise StartupError(f"connector {package}: {module}.{name} cannot be loaded: {error}") from error


def _by_type(pairs: Iterator[tuple[str, _Item]]) -> dict[str, _Item]:
    found: dict[str, _Item] = {}
    for source_type, item in pairs:
        if source_type in found:
            raise StartupError(f"two connectors have the source_type {source_type!r}")
        found[source_type] = item
    return dict(sorted(found.items()))
