"""The gateway's one call out: the key set that proves tokens, at the address that the operator named."""

from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from shared.clock import Clock
from shared.contracts.messages import decode_json
from shared.errors import DataError, UnavailableError
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest

_LIMITS = HttpLimits(connect=5, read=5, deadline=10, body_bytes=256 * 1024)


class KeySetFetcher:
    """Fetches the JWKS at `url`. The egress guard lets this one origin through, wherever it lies, and no other."""

    def __init__(self, url: str, clock: Clock) -> None:
        """Raises ValueError when `url` is no http(s) address."""
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.user is not None:
            raise ValueError("is not an http(s) address without a password")
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        self._policy = EgressPolicy.parse(f"{host}:{parsed.port}")
        self._url = url
        self._clock = clock

    async def __call__(self) -> Mapping[str, Any]:
        """Raises HeadraceError."""

        async def free() -> None:
            """No vendor's budget pays for it."""

        async with HttpClient(self._policy, self._clock, limits=_LIMITS) as http:
            answer = await http.send(HttpRequest("GET", self._url), before_call=free)
        if answer.status != 200:
            raise UnavailableError(f"{answer.place} answered {answer.status}")
        try:
            document = decode_json(answer.body)
        except (msgspec.DecodeError, RecursionError):
            raise DataError(f"{answer.place} is no JSON") from None
        if not isinstance(document, dict):
            raise DataError(f"{answer.place} is no key set")
        return document
