"""The command line as it is promised: every command is there, and prints JSON when asked."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from services.cli.__main__ import app

PROMISED = {
    "sources list", "sources add", "sources test", "sources sync", "sources pause", "sources resume",
    "runs list", "runs show", "runs cancel", "runs retry",
    "dead-letters list", "dead-letters replay", "dead-letters drop",
    "quarantine list", "keys generate", "keys rotate", "keys check", "connectors list", "doctor",
}  # fmt: skip


def commands(group: TyperGroup, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*before, name))
        else:
            yield " ".join((*before, name)), command


@pytest.fixture
def known() -> dict[str, Any]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return dict(commands(root))


def test_every_promised_command_is_there_and_prints_json(known: dict[str, Any]) -> None:
    assert set(known) >= PROMISED
    mute = [name for name in PROMISED if not any("--json" in param.opts for param in known[name].params)]
    assert mute == []


def test_every_command_says_what_it_does(known: dict[str, Any]) -> None:
    assert [name for name, command in known.items() if not command.help] == []
