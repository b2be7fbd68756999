"""The HTTP client against servers that misbehave, and against addresses that nobody may dial."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.clock import SystemClock
from shared.errors import (
    ConfigurationError,
    DataError,
    EgressRefusedError,
    HeadraceError,
    UnavailableError,
    UnusableBodyError,
)
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest

CANARY = "s3cr3t-canary-93"
LOCAL = EgressPolicy.parse("127.0.0.0/8")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A web server that writes down what it saw."""

    def __init__(self, url: str, seen: list[str]) -> None:
        self.url = url
        self.seen = seen


@asynccontextmanager
async def serving(
    handler: Handler, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    seen: list[str] = []

    async def record(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.path_qs} {sorted(request.headers.items())} {await request.text()}")
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", record)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield Server(f"{'https' if tls else 'http'}://{host}:{port}", seen)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(answer: bytes | None, *, reset_after: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Sends these bytes for each request; None closes without a word."""
    requests: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(head)
                if answer is None or (reset_after and len(requests) > 1):
                    break
                writer.write(answer)
                await writer.drain()
                if b"keep-alive" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    limits = HttpLimits(connect=2, read=0.3, deadline=1.0, stream_deadline=1.0, body_bytes=1_000_000)
    async with HttpClient(LOCAL, SystemClock(), limits=limits) as client:
        yield client


def get(url: str) -> HttpRequest:
    return HttpRequest("GET", url)


def secret(url: str) -> HttpRequest:
    return HttpRequest(
        "GET", url, secret_headers={"X-Api-Key": CANARY, "Cookie": f"s={CANARY}"}, secret_params={"key": CANARY}
    )


async def ok(_: web.Request) -> web.Response:
    return web.json_response([])


async def failure(http: HttpClient, request: HttpRequest) -> HeadraceError:
    with pytest.raises(HeadraceError) as caught:
        await http.send(request)
    shown = f"{caught.value.message} {caught.value.hint} {caught.value!r} {caught.value.__suppress_context__}"
    assert CANARY not in shown
    assert "?" not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


async def test_an_answer_is_read_whole(http: HttpClient) -> None:
    async def handler(_: web.Request) -> web.Response:
        response = web.Response(
            body=gzip.compress(b"[1]", mtime=0), headers={"Content-Encoding": "gzip", "Retry-After": "9"}
        )
        response.headers.add("Link", '<a>; rel="x"')
        response.headers.add("Link", '<b>; rel="next"')
        response.set_cookie("session", CANARY)
        return response

    async with serving(handler) as server:
        answer = await http.send(
            HttpRequest("POST", f"{server.url}/a?b=1", params=(("c", "x+y"),), headers={"A": "1"}, body=b"{}")
        )
        again = await http.send(get(f"{server.url}/again"))

    assert (answer.status, answer.body, answer.retry_after, answer.strayed) == (200, b"[1]", 9.0, False)
    assert answer.url == f"{server.url}/a?b=1&c=x%2By"
    assert answer.place == f"{server.url}/a"
    assert answer.headers["link"] == '<a>; rel="x", <b>; rel="next"'
    assert "set-cookie" not in answer.headers
    assert again.status == 200
    assert "'Accept-Encoding', 'gzip'" in server.seen[0]
    assert "ookie" not in server.seen[1]


async def test_an_error_status_is_an_answer_and_its_body_is_bounded(http: HttpClient) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=400, body=b"x" * 500_000)

    async with serving(handler) as server:
        answer = await http.send(get(server.url))
    assert answer.status == 400
    assert len(answer.body) == 64 * 1024


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,2", UnusableBodyError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n[1,2\r\n", UnusableBodyError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[1,2\r\n", UnavailableError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"[1,2,3]", mtime=0)[:-4],
            UnusableBodyError,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nx", DataError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n[", DataError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_001, DataError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", UnavailableError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", UnavailableError),
        (None, UnavailableError),
    ],
)
async def test_broken_answers_become_errors(
    http: HttpClient, wire: bytes | None, expected: type[HeadraceError]
) -> None:
    async with raw_server(wire) as (url, _):
        assert type(await failure(http, secret(f"{url}/items?visible=1"))) is expected


async def test_a_bomb_is_refused_early(http: HttpClient) -> None:
    bomb = gzip.compress(bytes(50_000_000))  # beforehand: on a busy machine it takes longer than an answer may

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(handler) as server:
        assert type(await failure(http, get(server.url))) is DataError
        async with http.stream(get(server.url)) as stream:
            with pytest.raises(DataError, match="swells"):
                assert sum([len(piece) async for piece in stream.chunks()]) < 12_000_000


async def test_nobody_waits_forever(http: HttpClient) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def stalling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"[")
        await asyncio.sleep(30)
        return response

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    for handler, says in ((silent, "in time"), (stalling, "stopped sending"), (dripping, "stopped sending")):
        async with serving(handler) as server:
            error = await asyncio.wait_for(failure(http, get(server.url)), 5)
            assert type(error) is UnavailableError
            assert says in error.message


async def test_a_refused_connection_and_an_unknown_name_are_outages(http: HttpClient) -> None:
    async with raw_server(None) as (url, _):
        pass
    assert type(await failure(http, get(url))) is UnavailableError
    error = await failure(http, get("http://no-such-host.invalid/"))
    assert type(error) is UnavailableError
    assert "host name" in error.message


async def test_a_header_that_cannot_be_sent_is_not_sent(http: HttpClient) -> None:
    async with serving(ok) as server:
        request = HttpRequest("GET", server.url, secret_headers={"X": f"{CANARY}\r\nHost: evil"})
        assert type(await failure(http, request)) is ConfigurationError
        assert server.seen == []


async def test_a_dropped_kept_alive_connection_is_not_called_twice(http: HttpClient) -> None:
    """Fails if aiohttp renames the switch that stops its own silent repetition, or stops needing it."""
    assert http._session is not None
    assert "_retry_connection" in aiohttp.ClientSession.ATTRS
    assert http._session._retry_connection is False

    keep = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n[]"
    async with raw_server(keep, reset_after=True) as (url, requests):
        assert (await http.send(get(url))).body == b"[]"
        assert type(await failure(http, get(url))) is UnavailableError
        assert len(requests) == 2


async def test_a_redirect_elsewhere_carries_no_secret() -> None:
    """Two origins; the second must see neither header, cookie nor parameter, and the budget sees each hop."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(HttpClient(LOCAL, SystemClock()))
        other = await stack.enter_async_context(serving(ok))

        async def redirect(request: web.Request) -> web.Response:
            if request.path == "/first":
                raise web.HTTPMovedPermanently(f"/second?key={CANARY}")
            raise web.HTTPFound(f"{other.url}/third?key={CANARY}&page=2")

        first = await stack.enter_async_context(serving(redirect))
        calls: list[int] = []

        async def pay() -> None:
            calls.append(len(first.seen) + len(other.seen))

        answer = await http.send(secret(f"{first.url}/first"), before_call=pay)

    assert answer.status == 200
    assert answer.strayed
    assert answer.url == f"{other.url}/third?page=2"
    assert calls == [0, 1, 2]
    assert all(line.count(CANARY) == 3 for line in first.seen), first.seen
    assert CANARY not in "".join(other.seen)


async def test_redirects_end(http: HttpClient) -> None:
    async def loop(_: web.Request) -> web.Response:
        raise web.HTTPFound("/again")

    async with serving(loop) as server:
        error = await failure(http, secret(server.url))
        assert "more than 5 times" in error.message
        assert len(server.seen) == 6


async def test_a_budget_that_refuses_stops_the_call(http: HttpClient) -> None:
    async def refuse() -> None:
        raise KeyError("no slot")

    async with serving(ok) as server:
        with pytest.raises(KeyError):
            await http.send(get(server.url), before_call=refuse)
        assert server.seen == []


SSRF_HOSTS = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "LOCALHOST.",
    "%6c%6f%63alhost",
    "127.0.0.1%2f",
    "①②⑦.0.0.1",
    "127。0。0。1",
]


@pytest.mark.parametrize("host", SSRF_HOSTS)
async def test_no_spelling_of_loopback_is_dialled(host: str) -> None:
    """A listener counts connections, so a refusal after dialling would be seen."""
    connections: list[object] = []

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    listener = await asyncio.start_server(count, "0.0.0.0", 0)
    port = listener.sockets[0].getsockname()[1]
    try:
        async with HttpClient(EgressPolicy(), SystemClock(), limits=HttpLimits(connect=1)) as http:
            with pytest.raises((ConfigurationError, UnavailableError)):  # `LOCALHOST.` may be unknown
                await http.send(get(f"http://{host}:{port}/"))
    finally:
        listener.close()
    assert connections == []


async def test_a_redirect_to_a_private_address_is_refused() -> None:
    async with serving(ok) as private:

        async def redirect(_: web.Request) -> web.Response:
            raise web.HTTPFound(private.url)

        async with serving(redirect) as public:
            port = public.url.rpartition(":")[2]
            async with HttpClient(EgressPolicy.parse(f"127.0.0.1:{port}"), SystemClock()) as http:
                with pytest.raises(EgressRefusedError):
                    await http.send(get(public.url))
        assert private.seen == []


async def test_a_name_is_allowed_on_its_port_under_that_name_alone() -> None:
    async with serving(ok) as server:
        port = server.url.rpartition(":")[2]
        async with HttpClient(EgressPolicy.parse(f"localhost:{port}"), SystemClock()) as http:
            assert (await http.send(get(f"http://localhost:{port}/"))).status == 200
            # The connection to 127.0.0.1 above is in the pool; another name must not ride on it.
            with pytest.raises(EgressRefusedError):
                await http.send(get(f"http://127.0.0.1:{port}/"))
        assert len(server.seen) == 1


class FakeNames(AbstractResolver):
    """A name server that answers what it is told, as one that an attacker runs."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the port's signature
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=socket.AF_INET, proto=0, flags=0)
            for ip in self.answers[host.partition(".")[0]]
        ]

    async def close(self) -> None:
        pass


async def test_names_that_lead_inside_are_refused_where_they_lead() -> None:
    """One name is allowed; others that resolve to the same address are not, at once or when they change their mind."""
    names = FakeNames(erp=["127.0.0.1"], evil=["127.0.0.1"], mixed=["169.254.1.1", "127.0.0.1"])
    async with serving(ok) as server:
        port = server.url.rpartition(":")[2]
        policy = EgressPolicy.parse(f"erp.example:{port},127.0.0.1:{port}")
        only_name = EgressPolicy.parse(f"erp.example:{port}")
        async with HttpClient(only_name, SystemClock(), resolver=names) as http:
            assert (await http.send(get(f"http://erp.example:{port}/"))).status == 200
            error = await failure(http, get(f"http://evil.example:{port}/"))
            assert type(error) is EgressRefusedError
            assert "evil.example" in error.message
        async with HttpClient(policy, SystemClock(), resolver=names) as http:
            assert (await http.send(get(f"http://mixed.example:{port}/"))).status == 200
        assert len(server.seen) == 2


async def test_parallel_calls_do_not_lend_each_other_their_permission() -> None:
    async with serving(ok) as server:
        port = server.url.rpartition(":")[2]
        names = FakeNames(localhost=["127.0.0.1"], evil=["127.0.0.1"])
        policy = EgressPolicy.parse(f"localhost:{port}")
        async with HttpClient(policy, SystemClock(), resolver=names) as http:
            hosts = ["localhost", "evil"] * 8
            found = await asyncio.gather(
                *(http.send(get(f"http://{host}:{port}/")) for host in hosts), return_exceptions=True
            )
        assert [isinstance(each, EgressRefusedError) for each in found] == [host != "localhost" for host in hosts]


async def test_an_untrusted_certificate_is_for_a_person(tmp_path: Path, http: HttpClient) -> None:
    async with serving(ok, tls=_self_signed(tmp_path)) as server:
        error = await failure(http, secret(server.url))
        await asyncio.sleep(0)
    assert type(error) is ConfigurationError
    assert "certificate" in error.message
    assert server.seen == []


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
