"""The pages say what the code does: settings, metrics, queues, statuses, connectors, commands, links."""

import re
import tomllib
from collections.abc import Mapping
from typing import get_args

import click
import pytest
import typer.main
from pages import ROOT, anchors, code, links, names, pages, table, text_of

from services.cli.__main__ import app
from services.cli.child_settings import READS, environment_of, variables_of
from services.cli.client import ClientSettings
from services.cli.scaling import SERVICE_NAMES
from shared.config import SettingsModel
from shared.connector_sdk.registry import discover_specs
from shared.contracts.ids import RunStatus, WaitingOn
from shared.errors import CATEGORIES
from shared.messaging.amqp import Names
from shared.messaging.topology import DELAY_STEPS, TOPOLOGY
from shared.observability.metrics import METRICS, Metrics
from shared.sealing.symmetric import WEBHOOK_SETTING

OPERATIONS = "docs/operations.md"
SETTING = re.compile(r"HEADRACE_[A-Z][A-Z_]*[A-Z]")
NO_SETTINGS = {f"HEADRACE_{who}_{what}_URL" for who in ("TEST", "BENCH") for what in ("DATABASE", "AMQP", "REDIS")}
"""Where the tests and the bench find servers: the services read none of them."""


def readers() -> Mapping[str, set[str]]:
    """Who reads each variable; `the command` is what no service reads."""
    known = {name for models in READS.values() for model in models for name in variables_of(model)}
    found = {name: set[str]() for name in known | {WEBHOOK_SETTING, *variables_of(ClientSettings)}}
    for service in SERVICE_NAMES:
        for name in environment_of(service, dict.fromkeys(found, "x")):
            found[name].add(service)
    return {name: services or {"the command"} for name, services in found.items()}


def defaults() -> Mapping[str, str]:
    """What the table says of each variable's default: nothing where there is none to speak of."""
    models: set[type[SettingsModel]] = {ClientSettings, *(model for models in READS.values() for model in models)}
    found = {WEBHOOK_SETTING: ""}
    for model in models:
        for name, field in zip(variables_of(model), model.model_fields.values(), strict=True):
            default = "" if field.default is None or "Secret" in str(type(field.default)) else str(field.default)
            found[name] = "required" if field.is_required() else f"`{default}`" if default else ""
    return found


def test_the_settings_are_those_of_the_code() -> None:
    rows = table(OPERATIONS, "## Settings", "variable")

    told = {row.name: set(re.split(r",\s*", row.cells[1])) for row in rows}

    assert told == readers()
    assert {row.name: row.cells[2] for row in rows} == defaults()
    assert len(rows) == len(told), "a variable stands there twice"


def test_the_example_names_every_setting_and_no_other() -> None:
    example = re.findall(r"^#?(HEADRACE_\w+)=", text_of(".env.example"), re.MULTILINE)

    assert sorted(example) == sorted(names(table(OPERATIONS, "## Settings", "variable")))


@pytest.mark.parametrize("page", pages())
def test_no_page_names_a_setting_that_nobody_reads(page: str) -> None:
    assert set(SETTING.findall(text_of(page))) - NO_SETTINGS <= set(readers())


def test_secret_settings_are_marked_as_such() -> None:
    marked = {row.name for row in table(OPERATIONS, "## Settings", "variable") if "**Secret**" in row.cells[3]}

    assert marked == {
        "HEADRACE_MASTER_KEYS", "HEADRACE_WEBHOOK_KEYS", "HEADRACE_JWT_SECRET", "HEADRACE_TOKEN",
    }  # fmt: skip


def test_the_metrics_are_those_of_the_code() -> None:
    rows = table(OPERATIONS, "## Metrics", "metric")

    told = [(row.name, row.cells[1], row.cells[2]) for row in rows]

    assert told == [(spec.name, spec.kind, ", ".join(label for label, _ in spec.labels)) for spec in METRICS]


def test_a_metric_that_nothing_counts_is_said_to_be_empty() -> None:
    attributes = {
        getattr(metric, "_name"): attribute  # noqa: B009 - the library has no public name of a metric
        for attribute, metric in vars(Metrics()).items()
        if attribute != "registry"
    }
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
        if path.parts[-2:] != ("observability", "metrics.py")
    )

    empty = {
        spec.name for spec in METRICS if not re.search(rf"\.{attributes[spec.name.removesuffix('_total')]}\b", sources)
    }

    assert {row.name for row in table(OPERATIONS, "## Metrics", "metric") if "Not filled" in row.cells[3]} == empty


def test_the_queues_are_those_of_the_topology() -> None:
    rows = table(OPERATIONS, "## Queues", "queue")

    told = [(row.name, *row.cells[1:4]) for row in rows]

    assert told == [
        (spec.name, str(spec.max_length or ""), str(spec.delivery_limit), "`dead`" if spec.dead_letters else "dropped")
        for spec in TOPOLOGY
    ]
    page, names_there = text_of(OPERATIONS), Names()
    assert names_there.queue("write") == "headrace.write.v1"
    for exchange in (names_there.exchange, names_there.events, names_there.public):
        assert f"`{exchange}`" in page
    assert f"1, 2, 4 … {DELAY_STEPS[-1]} seconds" in page


def test_each_queue_is_consumed_by_whom_the_page_says() -> None:
    for row in table(OPERATIONS, "## Queues", "queue"):
        root = (ROOT / "services" / row.cells[4] / "app.py").read_text(encoding="utf-8")
        assert f'bus, "{row.name}"' in root, row


def test_the_words_of_runs_are_those_of_the_code() -> None:
    assert names(table(OPERATIONS, "## Statuses", "a run is")) == list(get_args(RunStatus))
    assert names(table(OPERATIONS, "## Statuses", "waiting_on")) == list(get_args(WaitingOn))
    assert names(table(OPERATIONS, "## Statuses", "category")) == list(CATEGORIES)


def test_the_connectors_are_those_of_the_registry() -> None:
    told = names(table("README.md", "## What it connects to", "source type"))

    here = set(discover_specs())
    assert set(told) == here
    assert len(told) == len(set(told))


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(str(there.resolve().relative_to(ROOT))), target


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")]

    assert numbers
    assert len(numbers) == len(set(numbers))


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found = {path: command}
    for name, child in getattr(command, "commands", {}).items():
        found |= _commands(child, (*path, name))
    return found


COMMANDS = _commands(typer.main.get_command(app))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", OPERATIONS, "docs/architecture.md"])
def test_commands_on_the_pages_exist(page: str) -> None:
    """`headrace a b --option`: the longest path of words that is a command, then only options that it has."""
    for line in re.findall(r"(?<![\w./-])(?:\.venv/bin/)?headrace ([a-z-][^`\n]*)", code(page)):
        words = line.split("#")[0].split()
        path: tuple[str, ...] = ()
        while words and (*path, words[0]) in COMMANDS:
            path = (*path, words.pop(0))
        command = COMMANDS[path]
        assert path or all(word.startswith("-") for word in words), f"no such command: {line}"
        assert not (isinstance(command, click.Group) and words and words[0].isalpha()), f"no such command: {line}"
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_the_commands_of_a_source_are_named_as_they_are() -> None:
    """In the README: `sources add`, `runs show` beside each other, without the word `headrace`."""
    for group, name in re.findall(r"`(sources|runs|keys|connectors) ([a-z]+)", text_of("README.md")):
        assert (group, name) in COMMANDS


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_targets_of_make_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))

    assert set(re.findall(r"`make ([a-z]+)", text_of(page))) <= targets


def test_the_folders_of_the_map_are_there() -> None:
    for name in names(table("README.md", "## Where things are", "folder")):
        assert (ROOT / name).is_dir(), name
    services = re.findall(r"`(\w+)`", table("README.md", "## Where things are", "folder")[0].cells[1])
    assert set(services) - {"headrace"} == {*SERVICE_NAMES, "cli"}


def test_the_python_that_is_asked_for_is_the_one_that_is_needed() -> None:
    wanted = tomllib.loads(text_of("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")

    assert f"Python {wanted} or later" in text_of("README.md")
    assert f"Python {wanted} or later" in text_of("CONTRIBUTING.md")
