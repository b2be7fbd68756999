"""`python -m sandboxes.finale`: Finale as a process of its own."""

import asyncio

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import Behaviour
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import parser, serve


def main() -> None:
    """Serve until stopped."""
    arguments = parser("A server that behaves as Finale Inventory does.")
    arguments.add_argument("--account", default="acme", help="the first part of every path")
    arguments.add_argument("--key", default="key", help="user name of Basic authentication")
    arguments.add_argument("--secret", default="secret", help="its password")
    arguments.add_argument("--time-zone", default="America/New_York", help="of the account")
    arguments.add_argument("--window-scale", type=float, default=1.0, help="0.1 makes a minute of the limits 6 seconds")
    options = arguments.parse_args()
    if options.bearer:
        arguments.error("Finale takes --key and --secret, no --bearer")
    auth = Auth("basic", {f"{options.key}:{options.secret}": options.account})
    state = FinaleState(
        filling(None if options.products is None else Size.of_products(options.products), options.seed),
        behaviour=Behaviour(auth, Limits(tuple(options.limit))),
        switches=Switches(window_scale=options.window_scale),
        account=options.account,
        time_zone=options.time_zone,
    )
    asyncio.run(serve(build_app(state), options))


if __name__ == "__main__":
    main()
