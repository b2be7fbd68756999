"""What the commands share: options, errors, tables, JSON."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

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


@dataclass(frozen=True, slots=True)
class Asked:
    """The gateway that a command talks to, and how it answers."""

    client: GatewayClient
    as_json: bool

    def show(self, item: BaseModel, sentence: str) -> None:
        """One object as JSON, or a sentence about it."""
        print(item.model_dump_json(indent=2) if self.as_json else sentence)

    def show_items(self, items: Sequence[_Item], columns: dict[str, Callable[[_Item], object]]) -> None:
        """A JSON array, or a table with these columns."""
        if self.as_json:
            print("[" + ",\n ".join(item.model_dump_json() for item in items) + "]")
            return
        table = Table(box=None, pad_edge=False)
        for name in columns:
            table.add_column(name, overflow="fold")
        for item in items:
            cells = (read(item) for read in columns.values())
            table.add_row(*("" if value is None else _harmless(str(value)) for value in cells))
        Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


def asking(app: typer.Typer, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that asks a gateway: its function is handed `Asked` first, and has its own options alone.

    Whatever the client cannot do ends the command with one line on stderr and exit code 1.
    """

    def register(work: Callable[..., None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            url, token, data_dir = (given.pop(option) for option in ("url", "token", "data_dir"))
            as_json = given.pop("as_json")
            try:
                work(Asked(GatewayClient(find_endpoint(url, token, data_dir)), as_json), **given)
            except (ClientError, HeadraceError) as error:
                fail(error.message, error.hint)

        own = list(signature(work, eval_str=True).parameters.values())[1:]
        parameters = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*own, *_EVERYWHERE)]
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # what typer makes its options of
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__doc__ = work.__doc__
        app.command(name)(command)
        return work

    return register


def _everywhere(
    url: UrlOption = None, token: TokenOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """The options of every command that asks a gateway."""


_EVERYWHERE: Final = tuple(signature(_everywhere, eval_str=True).parameters.values())


def fail(message: str, hint: str = "") -> NoReturn:
    """One line on stderr, and exit code 1."""
    sys.stderr.write(f"headrace: {message}\n" + (f"  {hint}\n" if hint else ""))
    raise typer.Exit(EXIT_FAILED)


def _harmless(text: str) -> str:
    """What a vendor sent must not steer the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


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
