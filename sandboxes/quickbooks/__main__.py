"""`python -m sandboxes.quickbooks`: QuickBooks Online as a process of its own."""

import asyncio

from sandboxes.quickbooks.app import build_app
from sandboxes.quickbooks.shop import Size
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.switches import Switches
from sandboxes.serving import parser, serve


def main() -> None:
    """Serve until stopped."""
    options = parser("QuickBooks Online: sign-in, company data, change data capture, webhooks.")
    options.add_argument("--vendors", type=int, default=Size().vendors)
    options.add_argument("--orders", type=int, default=Size().orders)
    chosen = options.parse_args()
    size = Size(Size().items if chosen.products is None else chosen.products, chosen.vendors, chosen.orders)
    # limits that are asked for stand in the place of the vendor's own
    switches = Switches(realm_limits=tuple(chosen.limit), app_limits=()) if chosen.limit else Switches()
    state = QuickBooksState(size, chosen.seed, switches=switches)
    if chosen.bearer:
        state.fix_token(chosen.bearer)
    asyncio.run(serve(build_app(state), chosen))


if __name__ == "__main__":
    main()
