"""Ways to write an address that nobody may dial, and a listener that must never hear of one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HOSTS = [
    "127.0.0.1", "127.8.8.8", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:0:127.0.0.1]", "[::7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:7f00:0001::1]",
    "[2002:a9fe:a9fe::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[::1%25lo]",
    "2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "017700000001", "0177.0.0.1", "0177.0.0.01", "0x7f.1", "127.1",
    "127.0.1", "127.0.0.01", "127.000.000.001", "00127.0.0.1", "127.0.0.1.", "127.0.0.1..", "2852039166", "0xa9fea9fe",
    "127.0.0.1%00", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "１２７.0.0.1",  # noqa: RUF001 - the point of them
    "localhost", "LOCALHOST", "localhost.", "ｌocalhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "%6cocalhost", "ip6-localhost",  # noqa: RUF001
    "localhost\t",
    "user@127.0.0.1", "user:secret@127.0.0.1", "example.com@127.0.0.1", "example.com:80@127.0.0.1",
    "example.com%2f@127.0.0.1", "example.com\\@127.0.0.1", "127.0.0.1\\@example.com", "@127.0.0.1", ":@127.0.0.1",
    "127.0.0.1 ", " 127.0.0.1", "127.0.0\t.1", "127.0.0\n.1", "127.0.0.1\r\nHost: example.com",
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/", "dict://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/", "http:/127.0.0.1:{port}/", "http:///127.0.0.1:{port}/", "http:127.0.0.1:{port}",
    "http+unix://%2frun%2fx.sock/",
    "HTTP://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "javascript:alert(1)", "ws://127.0.0.1:{port}/",
]  # fmt: skip


def addresses(port: int) -> list[str]:
    """All of them, to the listener's port where the form has one."""
    return [f"http://{host}:{port}/latest?x=1" for host in HOSTS] + [each.format(port=port) for each in SCHEMES]


@dataclass
class Listener:
    """Counts who connects, on every address of this machine."""

    port: int
    heard: list[str] = field(default_factory=list)


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listener.heard.append(str(writer.get_extra_info("sockname")))
        writer.close()

    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        listener = Listener(sock.getsockname()[1])
        server = await asyncio.start_server(connected, sock=sock)
        try:
            yield listener
        finally:
            server.close()
