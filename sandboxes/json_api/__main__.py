"""`python -m sandboxes.json_api`: the JSON API as a process of its own."""

import asyncio

from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import behaviour_of, parser, serve


def main() -> None:
    """Serve until stopped."""
    options = parser("A JSON API that behaves as third parties' do.").parse_args()
    behaviour = behaviour_of(options)
    if options.products is None:
        state = JsonApiState.northwind(behaviour)
    else:
        state = JsonApiState.generated(options.products, options.seed, behaviour)
    asyncio.run(serve(build_app(state), options))


if __name__ == "__main__":
    main()
