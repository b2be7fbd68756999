"""The client that connectors are given: credentials added, every hop paid for, every answer judged."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol

from shared.connector_sdk.access import Access, FixedAccess
from shared.connector_sdk.credentials import Secrets
from shared.connector_sdk.protocol import OnHeaders, Request, Response
from shared.connector_sdk.spool import SpoolSpace
from shared.contracts.messages import encode_json
from shared.errors import RateLimitedError
from shared.http.client import BeforeCall, HttpAnswer, HttpClient, HttpStream
from shared.http.hop import HttpRequest
from shared.http.status import SNIFF_BYTES, check_body_start, status_error


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
        self, http: HttpClient, secrets: Secrets | Access, budget: Budget, *, spool: SpoolSpace | None = None
    ) -> None:
        """`spool` None: the system's place for temporary files."""
        self._http = http
        self._access = FixedAccess(secrets) if isinstance(secrets, Secrets) else secrets
        self._budget = budget
        self.spool = spool or SpoolSpace()
        self.calls = 0
        """Calls made so far, redirects included: what the vendor counted."""
        self.bytes_read = 0
        """Bytes of good answers so far, decompressed."""

    async def send(self, request: Request) -> Response:
        """See the port. A redirect is a call of its own: ParkError may come in the middle."""
        secrets = await self._access.secrets()
        answer = await self._call(request, secrets)
        if answer.status == 401 and (renewed := await self._access.renewed()) is not None:
            secrets = renewed
            answer = await self._call(request, secrets)
        await self._judge(answer, request, answer.body)
        self.bytes_read += len(answer.body)
        check_body_start(answer.body[:SNIFF_BYTES], answer.headers.get("content-type", ""), answer.place)
        return Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            url=answer.url,
            secret_params=frozenset(secrets.params),
        )

    async def stream(self, request: Request, *, on_headers: OnHeaders | None = None) -> AsyncGenerator[bytes, None]:
        """See the port."""
        secrets = await self._access.secrets()
        async with (
            self._in_flight(request),
            self._http.stream(self._wire(request, secrets), before_call=self._payer(request)) as answer,
        ):
            await self._judge(answer, request)
            if on_headers is not None:
                on_headers(answer.headers)
            content_type = answer.headers.get("content-type", "")
            start: bytes | None = b""  # what came so far, until it is enough to tell data from a web page; then None
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    self.bytes_read += len(chunk)
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

    @asynccontextmanager
    async def _in_flight(self, request: Request) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for limit_class in request.limit_classes:
                await stack.enter_async_context(self._budget.concurrency(limit_class))
            yield

    async def _call(self, request: Request, secrets: Secrets) -> HttpAnswer:
        async with self._in_flight(request):
            return await self._http.send(self._wire(request, secrets), before_call=self._payer(request))

    def _wire(self, request: Request, secrets: Secrets) -> HttpRequest:
        headers = dict(request.headers)
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
            for limit_class in request.limit_classes:  # nobody says which of them it was
                await self._budget.blocked(limit_class, error.retry_after)
        if error is not None:
            raise error
