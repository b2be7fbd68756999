import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from shared.clock import ManualClock
from shared.observability.logging import LogFormat, bound, configure, get_logger
from shared.observability.secrets import SecretRegistry

CANARY = "Tr0ub4dor-Kingfisher"


class Output:
    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.registry = SecretRegistry()
        self.registry.add(CANARY)
        self.clock = ManualClock(datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))

    def configure(self, output: LogFormat = "json") -> None:
        configure("info", output, self.registry, self.clock, self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def output() -> Iterator[Output]:
    """Logging is the process's, so the test puts back what it found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Output()
    root.handlers, root.level = handlers, level
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail_with_locals() -> None:
    local_only = "halcyon-in-a-local"
    raise ValueError(f"refused {CANARY} {len(local_only)}")


def log_everything_with_the_canary() -> None:
    ours, library = get_logger("ours"), logging.getLogger("library")
    ours.info(CANARY, field=CANARY, deep=[{"x": (CANARY,)}], **{CANARY: 1})
    ours.info("positional %s", CANARY)
    library.warning("args %s %r", CANARY, {"x": CANARY})
    with bound(run=CANARY):
        library.info("bound")
    try:
        fail_with_locals()
    except ValueError as error:
        ours.exception("ours_failed")
        library.exception("library failed")
        ours.error("passed", exc_info=error)
        ours.error("as a field", error=error)
        library.error("stack", stack_info=True, extra={"x": CANARY})


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_logged_anywhere_shows_the_secret(output: Output, form: LogFormat) -> None:
    output.configure(form)
    log_everything_with_the_canary()
    assert CANARY not in output.text
    assert output.text.count("ValueError") >= 3
    assert output.text.count("fail_with_locals") >= 3
    assert "halcyon-in-a-local" not in output.text.replace('local_only = "halcyon-in-a-local"', "")


def test_the_canary_would_be_seen_without_the_registry(output: Output) -> None:
    output.registry = SecretRegistry()
    output.configure()
    log_everything_with_the_canary()
    assert output.text.count(CANARY) > 10


def test_json_lines_have_one_shape_for_us_and_for_libraries(output: Output) -> None:
    output.configure()
    get_logger("ours").info("page_fetched", page=3)
    logging.getLogger("library").warning("slow %d", 7)
    common = {"timestamp": "2026-05-04T03:02:01.000+00:00"}
    assert output.lines == [
        {"event": "page_fetched", "page": 3, "level": "info", "logger": "ours", **common},
        {"event": "slow 7", "level": "warning", "logger": "library", **common},
    ]


def test_the_level_holds_for_both(output: Output) -> None:
    output.configure()
    get_logger("ours").debug("quiet")
    logging.getLogger("library").debug("quiet")
    assert output.text == ""


def test_configuring_again_replaces_and_does_not_double(output: Output) -> None:
    output.configure()
    output.configure()
    get_logger("ours").info("once")
    assert len(output.lines) == 1


async def test_bound_fields_are_per_task_and_gone_afterwards(output: Output) -> None:
    output.configure()
    log = get_logger("ours")
    both_inside = asyncio.Barrier(2)

    async def handle(run: int) -> None:
        with bound(run=run):
            await both_inside.wait()
            log.info("inside")
        log.info("after")

    await asyncio.gather(handle(1), handle(2))
    with contextlib.suppress(RuntimeError), bound(run=3), bound(page=4):
        log.info("nested")
        raise RuntimeError
    log.info("after")
    assert sorted(str(line.get("run")) for line in output.lines if line["event"] == "inside") == ["1", "2"]
    assert all("run" not in line for line in output.lines if line["event"] == "after")
    assert next((line["run"], line["page"]) for line in output.lines if line["event"] == "nested") == (3, 4)


def test_a_line_that_cannot_be_formatted_shows_no_arguments(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    output.configure()
    logging.getLogger("library").warning("%d items", CANARY)
    shown = capsys.readouterr().err
    assert "log_line_lost" in shown
    assert CANARY not in shown + output.text
