"""A connection that did not become its role is refused: it would be past row-level security in silence."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared.errors import StartupError
from shared.storage.database import open_database


@asynccontextmanager
async def pooler_that_ignores_the_role(database_url: str) -> AsyncIterator[str]:
    """Hands everything on but the start-up parameter `role`, as a pooler does that was told to ignore it."""
    place = urlsplit(database_url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        packet = await reader.readexactly(length - 4)
        words = packet[4:].rstrip(b"\0").split(b"\0")
        kept = [word for pair in zip(words[::2], words[1::2], strict=True) if pair[0] != b"role" for word in pair]
        body = packet[:4] + b"\0".join(kept) + b"\0\0"
        upstream_reader, upstream = await asyncio.open_connection(place.hostname, place.port)
        upstream.write(struct.pack("!I", len(body) + 4) + body)
        await asyncio.gather(pass_on(reader, upstream), pass_on(upstream_reader, writer))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        host = place.netloc.rpartition("@")[0]
        yield urlunsplit(place._replace(netloc=f"{host}@127.0.0.1:{port}")) + "?sslmode=disable"


async def test_a_pooler_that_drops_the_role_is_noticed(database_url: str) -> None:
    async with pooler_that_ignores_the_role(database_url) as through:
        with pytest.raises(StartupError, match="not as headrace_writer"):
            async with open_database(through, role="headrace_writer"):
                pass


async def test_a_connection_that_took_its_role_serves(database_url: str) -> None:
    async with open_database(database_url, role="headrace_writer") as database, database.transaction() as conn:
        assert await conn.fetchval("select current_user") == "headrace_writer"
