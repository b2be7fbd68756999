"""The way out: one HTTP session whose every hop is judged, timed and bounded. The only aiohttp client."""

import asyncio
import copy
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from shared.clock import Clock
from shared.errors import ConfigurationError, DataError, EgressRefusedError, HeadraceError
from shared.http.body import BodyDecoder
from shared.http.egress import EgressPolicy
from shared.http.failures import WIRE_ERRORS, body_error, call_error
from shared.http.hop import REDIRECTS, Hop, HttpRequest
from shared.http.status import retry_after_seconds
from shared.http.urls import host_of, origin, place
from shared.http.watch import CallWatch, Unwatched

MAX_REDIRECTS = 5
_WIRE_CHUNK = 64 * 1024
_WITHHELD = frozenset({"set-cookie", "set-cookie2"})

BeforeCall = Callable[[], Awaitable[None]]
"""Awaited before each hop: spends the budget. What it raises ends the call."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Seconds and bytes. `read` is the longest silence; the deadlines cover all hops, without waits for the budget."""

    connect: float = 10
    read: float = 30
    deadline: float = 120
    stream_deadline: float = 3_600
    body_bytes: int = 64 * 1024 * 1024
    stream_bytes: int = 4 * 1024 * 1024 * 1024
    error_body_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer of any status; redirects are already followed. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Of an error status: its first 64 kB, or less when even that could not be read."""
    url: str
    """The final URL, without secret parameters."""
    place: str
    """What messages may say of it: no query."""
    retry_after: float | None
    strayed: bool
    """A redirect left the first origin, so no secrets were sent."""


class HttpStream:
    """An answer whose body is still to come. `chunks()` may be read once."""

    def __init__(self, response: aiohttp.ClientResponse, hop: Hop, place: str, *, max_bytes: int, clock: Clock) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self.status = response.status
        self.headers = _plain_headers(response)
        self.url = str(hop.url)
        self.place = place
        self.strayed = hop.strayed
        self.retry_after = retry_after_seconds(self.headers.get("retry-after"), clock.now())

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The decompressed body, at most 256 kB at a time.

        Raises UnusableBodyError when it is cut, UnavailableError when it stalls, DataError above the bounds.
        """
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise DataError(
                f"{self.place} announces an answer of {int(length):,} bytes; {self._max_bytes:,} are allowed",
                hint="Ask for smaller pages, or for fewer fields.",
            )
        encoding = self.headers.get("content-encoding", "")
        decoder = BodyDecoder(encoding, max_bytes=self._max_bytes, place=self.place)
        while data := await self._read():
            for piece in decoder.feed(data):
                yield piece
        decoder.finish()

    async def _read(self) -> bytes:
        try:
            return await self._response.content.read(_WIRE_CHUNK)
        except WIRE_ERRORS as error:
            raise body_error(error, self.place) from None


class _Dial:
    """What the socket factory must know of the call it serves, and what it found."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.refused: EgressRefusedError | None = None
        self.permitted = False


# aiohttp hands the socket factory an address without the name that led to it. The call's context does reach it (it is
# copied into the tasks that race addresses), and an address allowed for one name stays refused for all others.
_DIAL: ContextVar[_Dial | None] = ContextVar("headrace_dial", default=None)


class HttpClient:
    """Use as `async with HttpClient(policy, clock) as http`. Safe to share between tasks."""

    def __init__(
        self,
        policy: EgressPolicy,
        clock: Clock,
        *,
        limits: HttpLimits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._limits = limits or HttpLimits()
        self._ssl_context = ssl_context
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._watch: CallWatch = Unwatched()

    def watched(self, watch: CallWatch) -> Self:
        """The same client while it is open, its calls looked on by `watch`."""
        other = copy.copy(self)
        other._watch = watch  # noqa: SLF001 - its own
        return other

    @property
    def policy(self) -> EgressPolicy:
        """What may be called."""
        return self._policy

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            socket_factory=self._open_socket,
            resolver=self._resolver or ThreadedResolver(),
            ssl=self._ssl_context or True,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "gzip", "User-Agent": "Headrace"},
        )
        # aiohttp would repeat a GET whose kept connection dropped: a call that no budget saw. No public switch exists;
        # tests/integration/test_http_client.py fails when this one goes away.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self, request: HttpRequest, *, before_call: BeforeCall | None = None, max_bytes: int | None = None
    ) -> HttpAnswer:
        """The whole answer, whatever its status: judge it with `shared.http.status.status_error`.

        Raises ConfigurationError, EgressRefusedError, UnavailableError, UnusableBodyError, DataError, and what
        `before_call` raises. Not one of them holds a query, a header or a body.
        """
        bound = self._limits.body_bytes if max_bytes is None else max_bytes
        async with self._open(request, self._limits.deadline, bound, before_call) as stream:
            if stream.status >= 400:
                body = await self._error_body(stream)
            else:
                body = b"".join([piece async for piece in stream.chunks()])
            return HttpAnswer(
                status=stream.status,
                headers=stream.headers,
                body=body,
                url=stream.url,
                place=stream.place,
                retry_after=stream.retry_after,
                strayed=stream.strayed,
            )

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, *, before_call: BeforeCall | None = None, max_bytes: int | None = None
    ) -> AsyncIterator[HttpStream]:
        """The answer with its body still to come; raises as `send` does, here or while `chunks()` is read."""
        bound = self._limits.stream_bytes if max_bytes is None else max_bytes
        async with self._open(request, self._limits.stream_deadline, bound, before_call) as stream:
            yield stream

    @asynccontextmanager
    async def _open(
        self, request: HttpRequest, seconds: float, max_bytes: int, before_call: BeforeCall | None
    ) -> AsyncIterator[HttpStream]:
        response, hop, shown = await self._follow(request, seconds, before_call)
        try:
            yield HttpStream(response, hop, shown, max_bytes=max_bytes, clock=self._clock)
        finally:
            response.close()  # does nothing to a body read to its end, whose connection is back in the pool

    async def _follow(
        self, request: HttpRequest, seconds: float, before_call: BeforeCall | None
    ) -> tuple[aiohttp.ClientResponse, Hop, str]:
        hop = Hop.first(request)
        first = shown = place(hop.url)
        for _ in range(MAX_REDIRECTS + 1):
            self._policy.check_url(str(hop.url))
            if before_call is not None:
                await before_call()
            started = asyncio.get_running_loop().time()
            response = await self._dial(hop, shown, seconds, request.patience or self._limits.read)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or not location:
                return response, hop, shown
            response.release()
            seconds = max(seconds - (asyncio.get_running_loop().time() - started), 0.001)
            hop = hop.redirected(response.status, location)
            shown = f"{first} (redirected to {origin(hop.url)})"
        raise ConfigurationError(f"{first} redirects more than {MAX_REDIRECTS} times", hint="Check the URL.")

    async def _dial(self, hop: Hop, shown: str, seconds: float, silence: float) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("HttpClient is used outside its `async with`")
        dial = _Dial(host_of(hop.url))
        token = _DIAL.set(dial)
        try:
            with self._watch.calling(hop.method, dial.host) as call:
                response = await self._session.request(
                    hop.method,
                    hop.wire_url(),
                    headers=hop.wire_headers(),
                    data=hop.body,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=self._limits.connect, sock_read=silence),
                )
                call.status = response.status
                return response
        except WIRE_ERRORS as error:
            if dial.refused is not None and not dial.permitted:
                raise dial.refused from None
            raise call_error(error, shown) from None
        finally:
            _DIAL.reset(token)

    def _open_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """aiohttp's hook for each address it is about to connect to: nothing is dialled that does not pass here."""
        family, kind, protocol, _, address = address_info
        dial = _DIAL.get()
        try:
            self._policy.check_address(address[0], address[1], dial.host if dial else "")
        except EgressRefusedError as error:
            if dial:
                dial.refused = error
            raise OSError("address refused") from error
        if dial:
            dial.permitted = True
        return socket.socket(family, kind, protocol)

    async def _error_body(self, stream: HttpStream) -> bytes:
        body = bytearray()
        with suppress(HeadraceError):  # the status says enough
            async for piece in stream.chunks():
                body += piece
                if len(body) >= self._limits.error_body_bytes:
                    break
        return bytes(body[: self._limits.error_body_bytes])


def _plain_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Lower-case names; repeated headers joined as HTTP allows; without cookies, which nobody here may keep."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        if key not in _WITHHELD:
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
