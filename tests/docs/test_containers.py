"""The image and the compose file: what can be known of them without an engine."""

import json
import re
from importlib.util import find_spec
from typing import Any

import pytest
from containers import Instruction, compose, filled, stages, variables_in
from pages import ROOT, text_of

from services.cli.child_settings import READS, environment_of, variables_of
from services.cli.scaling import SERVICE_NAMES, ServiceName
from services.gateway.settings import GatewaySettings
from shared.runtime.main import CLOSING_SECONDS

COMPOSE = compose()
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "headrace:local"}
KNOWN = {name for models in READS.values() for model in models for name in variables_of(model)}
MUST_HAVE = {
    "gateway": {
        "HEADRACE_DATABASE_URL",
        "HEADRACE_AMQP_URL",
        "HEADRACE_SEAL_KEYS",
        "HEADRACE_WEBHOOK_KEYS",
        "HEADRACE_JWT_SECRET",
    },
    "scheduler": {"HEADRACE_DATABASE_URL", "HEADRACE_AMQP_URL", "HEADRACE_REDIS_URL"},
    "fetcher": {"HEADRACE_DATABASE_URL", "HEADRACE_AMQP_URL", "HEADRACE_REDIS_URL", "HEADRACE_MASTER_KEYS"},
    "transformer": {"HEADRACE_AMQP_URL"},
    "writer": {"HEADRACE_DATABASE_URL", "HEADRACE_AMQP_URL"},
}

SET_ELSEWHERE = {"HEADRACE_GATEWAY_HOST", "HEADRACE_GATEWAY_PORT", "HEADRACE_METRICS_HOST", "HEADRACE_METRICS_PORT"}
"""By the image, to whose ports compose maps."""
UNUSED: dict[str, set[str]] = {
    "gateway": set(),
    "scheduler": set(),
    "fetcher": set(),
    "transformer": {"HEADRACE_SCHEMA", "HEADRACE_REDIS_PREFIX"},
    "writer": {"HEADRACE_REDIS_URL", "HEADRACE_REDIS_PREFIX"},
}
"""Every service may be told of every platform; these have no use for that one."""


def words(stage: list[Instruction], word: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.word == word]


def test_packages_are_checked_by_their_hashes_before_they_reach_the_image() -> None:
    wheels, image = stages()

    (built,) = words(wheels, "RUN")
    assert {"--require-hashes", "--no-deps", "app.lock"} <= set(json.loads(built))
    assert words(wheels, "COPY") == ["requirements/app.lock ."]
    installs = [run for run in words(image, "RUN") if "pip install" in run]
    assert len(installs) == 1
    assert "--no-index" in installs[0], "the second stage must not go to the network"
    assert "from=wheels" in installs[0]


def test_the_image_holds_the_programs_and_nothing_of_development() -> None:
    *_, image = stages()

    copied = [copy.split()[0] for copy in words(image, "COPY")]
    assert copied == ["services", "shared", "sandboxes"]
    assert not words(image, "ADD")
    ignored = text_of(".dockerignore").splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == {*copied, "requirements/app.lock"}
    lock = text_of("requirements/app.lock")
    for package in ("pytest", "mypy", "ruff", "hypothesis", "testcontainers"):
        assert not re.search(rf"^{package}==", lock, re.MULTILINE)


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    *_, image = stages()

    (user,) = words(image, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [one.word for one in image[[one.word for one in image].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after), "what follows USER must not change the image"


def test_the_image_starts_by_exec_and_stops_by_sigterm() -> None:
    *_, image = stages()

    assert words(image, "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(words(image, "ENTRYPOINT")[0]) == ["python", "-m"]
    assert find_spec(json.loads(words(image, "CMD")[0])[0])
    assert "latest" not in text_of("Dockerfile")


def test_the_image_asks_the_health_port_that_it_opens() -> None:
    *_, image = stages()

    settings = dict(re.findall(r"(HEADRACE_\w+)=(\S+)", " ".join(words(image, "ENV"))))
    assert settings.keys() <= KNOWN
    (check,) = words(image, "HEALTHCHECK")
    command = json.loads(check[check.index("CMD ") + 4 :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert f"127.0.0.1:{settings['HEADRACE_METRICS_PORT']}/readyz" in command[2]
    port = GatewaySettings.model_fields["gateway_port"].default
    assert words(image, "EXPOSE") == [f"{port} {settings['HEADRACE_METRICS_PORT']}"]


def test_compose_has_each_service_once_and_can_scale_it() -> None:
    assert set(SERVICE_NAMES) <= SERVICES.keys()
    for name in SERVICE_NAMES:
        assert SERVICES[name]["command"] == [f"services.{name}"]
        assert "container_name" not in SERVICES[name], "a fixed name cannot be scaled"


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_a_module_that_can_be_run(name: str) -> None:
    module = OURS[name]["command"][0]

    assert find_spec(f"{module}.__main__"), module


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_a_service_is_given_what_it_reads_and_no_one_elses_secrets(service: ServiceName) -> None:
    given = set(SERVICES[service]["environment"])

    allowed = environment_of(service, dict.fromkeys(KNOWN, "x"))
    assert given <= allowed.keys(), given - allowed.keys()
    assert MUST_HAVE[service] <= given
    assert allowed.keys() & KNOWN - given <= SET_ELSEWHERE | UNUSED[service], "what .env offers must arrive"
    assert "env_file" not in SERVICES[service], "the whole file would reach the service"


def test_the_migration_knows_the_database_alone() -> None:
    given = {name for name in SERVICES["migrate"]["environment"] if "URL" in name or "KEY" in name or "SECRET" in name}

    assert given == {"HEADRACE_DATABASE_URL"}
    assert "restart" not in SERVICES["migrate"]


def test_nothing_starts_before_what_it_needs() -> None:
    """PostgreSQL, then the migration, then who has the database; the broker and Redis before who has their address."""
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    servers = {
        "HEADRACE_DATABASE_URL": ("migrate", "service_completed_successfully"),
        "HEADRACE_AMQP_URL": ("rabbitmq", "service_healthy"),
        "HEADRACE_REDIS_URL": ("valkey", "service_healthy"),
    }
    for name in SERVICE_NAMES:
        needed = {servers[url] for url in SERVICES[name]["environment"] if url in servers}
        assert {(on, what["condition"]) for on, what in SERVICES[name]["depends_on"].items()} == needed, name


@pytest.mark.parametrize("name", ["postgres", "rabbitmq", "valkey"])
def test_a_server_has_a_health_check_and_keeps_its_data(name: str) -> None:
    check = SERVICES[name]["healthcheck"]

    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert check["retries"] >= 3
    (volume,) = SERVICES[name]["volumes"]
    assert volume.split(":")[0] in COMPOSE["volumes"]
    assert "ports" not in SERVICES[name]
    assert re.fullmatch(r"\S+:\d+-alpine", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_ours_are_locked_down(name: str) -> None:
    service = OURS[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True  # the kernel keeps SIGTERM from a first process that has no handler yet
    if name in SERVICE_NAMES:
        assert int(service["stop_grace_period"].removesuffix("s")) > 15 + CLOSING_SECONDS
        assert service["restart"] == "unless-stopped"


def test_ports_are_published_on_loopback_alone() -> None:
    published = [filled(port, {}) for service in SERVICES.values() for port in service.get("ports", ())]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_sandboxes_come_by_their_profile_alone() -> None:
    profiled = {name for name, service in SERVICES.items() if service.get("profiles")}

    assert profiled == {name for name in SERVICES if name.startswith("sandbox-")}
    assert all(SERVICES[name]["profiles"] == ["sandboxes"] for name in profiled)
    folders = {path.parent.name for path in (ROOT / "sandboxes").glob("*/__main__.py")}
    assert {SERVICES[name]["command"][0].removeprefix("sandboxes.") for name in profiled} == folders


def test_what_compose_asks_for_is_in_the_example() -> None:
    example = re.findall(r"^#?(\w+)=", text_of(".env.example"), re.MULTILINE)
    wanted = variables_in(COMPOSE)

    assert wanted.keys() - {"GATEWAY_PORTS"} <= set(example)
    secrets = {name for name in wanted if re.search(r"KEYS|SECRET|PASSWORD", name)}
    assert not any(wanted[name] for name in secrets), "a secret has no default"
    optional = {name for name in secrets if wanted[name] == ""}
    assert optional == {"HEADRACE_JWT_SECRET"}, "a key set may stand in its place; the gateway asks"


def test_defaults_in_compose_are_those_of_the_code() -> None:
    fields = {
        variable: field.default
        for models in READS.values()
        for model in models
        for variable, field in zip(variables_of(model), model.model_fields.values(), strict=True)
    }
    for name, default in variables_in(COMPOSE).items():
        if name in fields and default is not None:
            assert default == ("" if fields[name] is None else str(fields[name])), name
