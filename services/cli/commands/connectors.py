"""`headrace connectors list`."""

import typer

from services.cli.commands.common import DataDirOption, JsonOption, TokenOption, UrlOption, gateway, show_items
from services.gateway.models import ConnectorView

app = typer.Typer(help="What Headrace can connect to.", no_args_is_help=True)


@app.command("list")
def list_connectors(
    url: UrlOption = None, token: TokenOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """The catalogue."""
    with gateway(url, token, data_dir) as client:
        found = list(client.items(ConnectorView, "/api/connectors"))
        show_items(
            found,
            as_json,
            {
                "source_type": lambda entry: entry.source_type,
                "title": lambda entry: entry.title,
                "sync modes": lambda entry: ", ".join(entry.sync_modes),
                "realtime": lambda entry: "yes" if entry.supports_realtime else "no",
            },
        )
