"""The HTTP client dials no address that its policy does not allow, however it is spelt or reached."""

import asyncio

import pytest
from aiohttp import web
from http_rig import failure, get, ok, serving
from told_names import ToldNames

from shared.clock import SystemClock
from shared.errors import ConfigurationError, EgressRefusedError, UnavailableError
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy

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


async def test_names_that_lead_inside_are_refused_where_they_lead() -> None:
    """One name is allowed; others that resolve to the same address are not, at once or when they change their mind."""
    names = ToldNames(
        {
            "erp.example": [["127.0.0.1"]],
            "evil.example": [["127.0.0.1"]],
            "mixed.example": [["169.254.1.1", "127.0.0.1"]],
        }
    )
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
        names = ToldNames({"localhost": [["127.0.0.1"]], "evil": [["127.0.0.1"]]})
        policy = EgressPolicy.parse(f"localhost:{port}")
        async with HttpClient(policy, SystemClock(), resolver=names) as http:
            hosts = ["localhost", "evil"] * 8
            found = await asyncio.gather(
                *(http.send(get(f"http://{host}:{port}/")) for host in hosts), return_exceptions=True
            )
        assert [isinstance(each, EgressRefusedError) for each in found] == [host != "localhost" for host in hosts]
