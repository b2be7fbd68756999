"""What the commands share: options, errors, tables, JSON."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from services.cli.client import ClientError, GatewayClient, find_endpoint
from shared.errors import HeadraceError

EXIT_FAILED = 1

UrlOption = Annotated[str | None, typer.Option("--url", help="The gateway's address (HEADRACE_URL).")]
TokenOption = Annotated[str | None, typer.Option("--token", help="A bearer token (HEADRACE_TOKEN).")]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Of a local `headrace up`; its endpoints.json is used. [.headrace]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_Item = TypeVar("_Item", bound=BaseModel)
_OBJECT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


@contextmanager
def gateway(url: str | None, token: str | None, data_dir: Path | None) -> Iterator[GatewayClient]:
    """The client; whatever it cannot do ends the command with one line on stderr and exit code 1."""
    try:
        yield GatewayClient(find_endpoint(url, token, data_dir))
    except (ClientError, HeadraceError) as error:
        fail(error.message, error.hint)


def fail(message: str, hint: str = "") -> NoReturn:
    """One line on stderr, and exit code 1."""
    sys.stderr.write(f"headrace: {message}\n" + (f"  {hint}\n" if hint else ""))
    raise typer.Exit(EXIT_FAILED)


def show_items(items: Sequence[_Item], as_json: bool, columns: dict[str, Callable[[_Item], object]]) -> None:
    """A JSON array, or a table with these columns."""
    if as_json:
        print("[" + ",\n ".join(item.model_dump_json() for item in items) + "]")
        return
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for item in items:
        table.add_row(*("" if (value := read(item)) is None else _harmless(str(value)) for read in columns.values()))
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


def _harmless(text: str) -> str:
    """What a vendor sent must not steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def show(item: BaseModel, as_json: bool, sentence: str) -> None:
    """One object as JSON, or a sentence about it."""
    print(item.model_dump_json(indent=2) if as_json else sentence)


def json_argument(name: str, text: str) -> dict[str, JsonValue]:
    """`@file`, `-` for standard input, or JSON itself. Raises ClientError; never quotes what it read."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text("utf-8")
        return _OBJECT.validate_json(text)
    except OSError as error:
        raise ClientError(f"{name}: the file cannot be read: {error.strerror}") from None
    except (ValidationError, UnicodeDecodeError):
        raise ClientError(
            f"{name}: a JSON object is needed.", hint="Give JSON, @file, or - for standard input."
        ) from None
