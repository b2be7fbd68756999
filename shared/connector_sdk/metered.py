"""The client that connectors are given: credentials added, every hop paid for, every answer judged or kept before."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol

from shared.connector_sdk.access import Access, FixedAccess
from shared.connector_sdk.caching import MAX_BODY_BYTES, Known, StepCache
from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.protocol import OnHeaders, Request, Response
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.messages import encode_json
from shared.errors import RateLimitedError
from shared.http.client import BeforeCall, HttpAnswer, HttpClient, HttpStream
from shared.http.hop import HttpRequest
from shared.http.status import SNIFF_BYTES, check_body_start, status_error

_PIECE_BYTES = 256 * 1024


class Budget(Protocol):
    """One step's share of the upstream account's limits."""

    async def spend(self, *limit_classes: str) -> None:
        """Pay for one call in each class, after waiting a moment if need be; ParkError when the next slot is later."""
        ...

    async def blocked(self, limit_class: str, retry_after: float | None) -> None:
        """The vendor said 429: nobody on this account calls for that long (seconds; None: it did not say)."""
        ...

    def concurrency(self, limit_class: str) -> AbstractAsyncContextManager[None]:
        """Held while a call is under way. Taken before the slot, which is good only at its time."""
        ...


class MeteredClient:
    """`shared.connector_sdk.protocol.Client` over the real network, for one step of one source."""

    def __init__(
        self,
        http: HttpClient,
        secrets: Secrets | Access,
        budget: Budget,
        cache: StepCache | None = None,
        *,
        spool: SpoolSpace | None = None,
    ) -> None:
        """`spool` None: the system's place for temporary files."""
        self._http = http
        self._access = FixedAccess(secrets) if isinstance(secrets, Secrets) else secrets
        self._budget = budget
        self._cache = cache
        self.spool = spool or SpoolSpace()
        self.calls = 0
        """Calls made so far, redirects included: what the vendor counted."""
        self.hits = 0
        """Answers so far that were kept from before, without a call."""
        self.bytes_read = 0
        """Bytes of good answers so far, decompressed."""

    async def send(self, request: Request) -> Response:
        """See the port. A redirect is a call of its own: ParkError may come in the middle."""
        known = await self._look(request)
        if known is not None and known.usable:
            self.hits += 1
            return self._kept(known)
        secrets = await self._access.secrets()
        answer = await self._call(request, secrets, known)
        if answer.status == 401 and (renewed := await self._access.renewed()) is not None:
            secrets = renewed
            answer = await self._call(request, secrets, known)
        if answer.status == 304 and known is not None:
            if await self._is_confirmed(request, known, answer.headers):
                return self._kept(known)
            answer = await self._call(request, secrets, None)
        await self._judge(answer, request, answer.body)
        self.bytes_read += len(answer.body)
        check_body_start(answer.body[:SNIFF_BYTES], answer.headers.get("content-type", ""), answer.place)
        names = frozenset(secrets.params)
        if self._cache is not None and answer.status == 200:
            self._cache.took(request, answer.headers, answer.body, answer.url, names)
        return Response(answer.status, answer.headers, answer.body, answer.url, names)

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        """See the port."""
        known = await self._look(request)
        if known is not None and known.usable:
            self.hits += 1
        else:
            secrets = await self._access.secrets()
            for asked in (known, None):
                async with (
                    self._in_flight(request),
                    self._http.stream(self._wire(request, secrets, asked), before_call=self._payer(request)) as answer,
                ):
                    if answer.status != 304 or asked is None:
                        async with aclosing(self._received(request, answer, secrets, on_headers)) as chunks:
                            async for chunk in chunks:
                                yield chunk
                        return
                    if await self._is_confirmed(request, asked, answer.headers):
                        break
        assert known is not None
        response = self._kept(known)
        if on_headers is not None:
            on_headers(response.headers)
        for start in range(0, len(response.body), _PIECE_BYTES):
            yield response.body[start : start + _PIECE_BYTES]

    async def keep(self) -> None:
        """The connector has accepted what it read: keep the answers."""
        if self._cache is not None:
            await self._cache.keep()

    async def _received(
        self, request: Request, answer: HttpStream, secrets: Secrets, on_headers: OnHeaders | None
    ) -> AsyncGenerator[bytes, None]:
        """A streamed answer as it arrives, once enough of it is here to tell data from a web page."""
        await self._judge(answer, request)
        if on_headers is not None:
            on_headers(answer.headers)
        content_type = answer.headers.get("content-type", "")
        start: bytes | None = b""  # what came so far, until it is enough; then None
        whole = bytearray() if self._cache is not None and answer.status == 200 else None
        async with aclosing(answer.chunks()) as chunks:
            async for chunk in chunks:
                self.bytes_read += len(chunk)
                if whole is not None:
                    whole += chunk
                    if len(whole) > MAX_BODY_BYTES:
                        whole = None
                if start is None:
                    yield chunk
                    continue
                start += chunk
                if len(start) >= SNIFF_BYTES:
                    check_body_start(start[:SNIFF_BYTES], content_type, answer.place)
                    yield start
                    start = None
        if start is not None:
            check_body_start(start, content_type, answer.place)
            yield start
        if whole is not None and self._cache is not None:
            self._cache.took(request, answer.headers, bytes(whole), answer.url, frozenset(secrets.params))

    async def _look(self, request: Request) -> Known | None:
        if self._cache is None:
            return None
        return await self._cache.look(request, read_anew=self.calls > 0)

    async def _is_confirmed(self, request: Request, known: Known, headers: Mapping[str, str]) -> bool:
        assert self._cache is not None
        if not known.is_confirmed_by(headers):
            # Asking again is a call that the step has not reserved: it may have to come back for it.
            await self._cache.distrust(request)
            return False
        self._cache.confirmed(request, known)
        return True

    def _kept(self, known: Known) -> Response:
        answer = known.answer
        self.bytes_read += len(answer.body)
        return Response(200, answer.headers, answer.body, answer.url, answer.secret_params)

    @asynccontextmanager
    async def _in_flight(self, request: Request) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for limit_class in request.limit_classes:
                await stack.enter_async_context(self._budget.concurrency(limit_class))
            yield

    async def _call(self, request: Request, secrets: Secrets, known: Known | None) -> HttpAnswer:
        async with self._in_flight(request):
            return await self._http.send(self._wire(request, secrets, known), before_call=self._payer(request))

    def _wire(self, request: Request, secrets: Secrets, known: Known | None) -> HttpRequest:
        headers = dict(request.headers) | dict({} if known is None else known.validators)
        body = None
        if request.json is not None:
            body = encode_json(request.json)
            headers["Content-Type"] = "application/json"
        return HttpRequest(
            method=request.method,
            url=request.url,
            params=request.params,
            headers=headers,
            secret_headers=secrets.headers,
            secret_params=secrets.params,
            body=body,
            patience=request.patience,
        )

    def _payer(self, request: Request) -> BeforeCall:
        async def pay() -> None:
            await self._budget.spend(*request.limit_classes)
            self.calls += 1

        return pay

    async def _judge(self, answer: HttpAnswer | HttpStream, request: Request, body: bytes = b"") -> None:
        error = None if request.judge is None else request.judge(answer.status, answer.headers, body)
        if error is None:
            error = status_error(
                answer.status, answer.place, retry_after=answer.retry_after, strayed=answer.strayed
            )  # fmt: skip
        if isinstance(error, RateLimitedError):
            if error.retry_after is None:  # a connector knows a throttle by its body, which does not say how long
                error.retry_after = answer.retry_after
            for limit_class in request.limit_classes:  # nobody says which of them it was
                await self._budget.blocked(limit_class, error.retry_after)
        if error is not None:
            raise error
