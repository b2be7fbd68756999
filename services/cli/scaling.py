"""How many of each service: `--scale fetcher=4 --scale writer=2`, or `--scale fetcher=4 writer=2`."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from shared.errors import StartupError

ServiceName = Literal["gateway", "scheduler", "fetcher", "transformer", "writer"]
SERVICE_NAMES: Final[tuple[ServiceName, ...]] = get_args(ServiceName)
MAX_REPLICAS = 64

_HINT = f"Write --scale fetcher=4; the services are {', '.join(SERVICE_NAMES)}."


def parse_scale(words: Iterable[str]) -> Mapping[ServiceName, int]:
    """Replicas by service, one each where nothing is said, 0 for none. Raises StartupError naming the bad word."""
    scale: dict[ServiceName, int] = dict.fromkeys(SERVICE_NAMES, 1)
    named: set[str] = set()
    for word in (part for text in words for part in text.replace(",", " ").split()):
        name, equals, count = word.partition("=")
        service = next((known for known in SERVICE_NAMES if known == name), None)
        if service is None or not equals or not (count.isascii() and count.isdigit()) or int(count) > MAX_REPLICAS:
            raise StartupError(f"--scale {word}: is not SERVICE=COUNT with a count of 0 to {MAX_REPLICAS}", hint=_HINT)
        if service in named:
            raise StartupError(f"--scale {word}: {name} is named twice", hint=_HINT)
        if service == "gateway" and int(count) > 1:
            raise StartupError(
                f"--scale {word}: one gateway listens on one port",
                hint="Run more of them on other ports with `python -m services.gateway`, behind a load balancer.",
            )
        named.add(name)
        scale[service] = int(count)
    return scale
