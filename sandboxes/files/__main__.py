"""`python -m sandboxes.files`: the file server as a process of its own."""

import asyncio

from sandboxes.files.app import build_app
from sandboxes.files.state import FilesState
from sandboxes.serving import behaviour_of, parser, serve


def main() -> None:
    """Serve until stopped."""
    options = parser("CSV and JSON files as shops export them.").parse_args()
    behaviour = behaviour_of(options)
    if options.products is None:
        state = FilesState.northwind(behaviour)
    else:
        state = FilesState.generated(options.products, options.seed, behaviour)
    asyncio.run(serve(build_app(state), options))


if __name__ == "__main__":
    main()
