"""The HTTP client against servers that misbehave: broken answers, silence, redirects and certificates."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cancelling import swallowed_ends
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from http_rig import CANARY, LOCAL, failure, get, ok, raw_server, secret, serving

from shared.clock import SystemClock
from shared.errors import ConfigurationError, DataError, HeadraceError, UnavailableError, UnusableBodyError
from shared.http.client import HttpClient, HttpLimits
from shared.http.hop import HttpRequest


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    limits = HttpLimits(connect=2, read=0.3, deadline=1.0, stream_deadline=1.0, body_bytes=1_000_000)
    async with HttpClient(LOCAL, SystemClock(), limits=limits) as client:
        yield client


async def test_whoever_calls_can_be_cancelled_at_any_moment(http: HttpClient) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100_000)

    async with serving(handler) as server:
        assert await swallowed_ends(lambda: http.send(get(server.url))) == []


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
