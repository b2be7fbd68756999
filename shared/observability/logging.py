"""Structured logging: structlog and the standard library through one chain, with redaction last before rendering."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.clock import Clock
from shared.observability.redaction import Redactor
from shared.observability.secrets import SecretRegistry

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]


def configure(
    level: LogLevel, output: LogFormat, registry: SecretRegistry, clock: Clock, stream: TextIO | None = None
) -> None:
    """Send every log line of this process, ours or a library's, to `stream` (default stderr), masked.

    May be called again: the last call holds. Tracebacks come without local variables, in both formats.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _Timestamp(clock),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if output == "json"
        else structlog.dev.ConsoleRenderer(
            colors=(stream or sys.stderr).isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _Redaction(Redactor(registry)),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for one module or component: `log.info("page_fetched", page=3)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Put `fields` (run, source, queue …) on every line logged inside, a library's too; gone afterwards."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


class _Timestamp:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = self._clock.now().isoformat(timespec="milliseconds")
        return event


class _Redaction:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return self._redactor.mapping(event)


class _Handler(logging.StreamHandler[TextIO]):
    """Never prints a record it could not format: the standard way shows the arguments, unmasked, on stderr."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        # Only where it came from: message and arguments are what could not be masked.
        lost = {"event": "log_line_lost", "logger": record.name, "line": record.lineno}
        sys.stderr.write(json.dumps(lost) + "\n")
