"""The `headrace` command."""

import sys

import typer

from services.cli import keys
from services.cli.commands import connectors, dead_letters, quarantine, runs, sources
from services.cli.demo import demo
from services.cli.doctor import doctor
from services.cli.migrate_command import migrate
from services.cli.up import up
from shared.errors import HeadraceError, StartupError

EXIT_FAILED = 1
EXIT_SETTINGS = 2

app = typer.Typer(
    name="headrace",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Headrace brings a company's outside stock data (inventory, vendors, purchase orders) into its PostgreSQL.\n\n"
        "To begin: `headrace demo` shows it at work in a minute and leaves nothing behind; `headrace up --embedded` "
        "runs it with nothing to install."
    ),
)
app.command(rich_help_panel="Run")(up)
app.command(rich_help_panel="Run")(demo)
app.command(rich_help_panel="Operate")(migrate)
app.command(rich_help_panel="Operate")(doctor)
app.add_typer(keys.app, name="keys", rich_help_panel="Operate")
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel="Operate")
app.add_typer(connectors.app, name="connectors", rich_help_panel="Use")
app.add_typer(sources.app, name="sources", rich_help_panel="Use")
app.add_typer(runs.app, name="runs", rich_help_panel="Use")
app.add_typer(quarantine.app, name="quarantine", rich_help_panel="Use")


def main() -> None:
    """Exit code: 0 done, 1 failed, 2 wrong settings or a wrong command line. Expected errors are one line each."""
    try:
        app()
    except HeadraceError as error:
        sys.stderr.write(f"headrace: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  {error.hint}\n")
        sys.exit(EXIT_SETTINGS if isinstance(error, StartupError) else EXIT_FAILED)


if __name__ == "__main__":
    main()
