"""A process of its own that posts signed webhooks at a fixed rate, whatever the answers take; prints what came of it.

Standard input: `{"url", "secrets": {source_id: secret}, "rate", "seconds"}`. A latency counts from the moment when the
post was due, so that a server that makes its callers wait cannot hide it. Posts are signed beforehand and the protocol
is spoken by hand, on connections that stay open: on a small machine the caller's own work would be half of the storm.
"""

import asyncio
import json
import sys
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from services.gateway.signatures import generic_signature

CONNECTIONS = 200
PATIENCE_SECONDS = 30


class Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(str(exc)))

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None:
            return
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) >= int(length) and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    async def call(self, request: bytes) -> int:
        """The answer's status."""
        if self._transport is None:
            raise ConnectionError("closed")
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class Storm:
    """What was asked for, and what came of it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._rate = asked["rate"]
        self._place = urlsplit(asked["url"])
        self._posts = signed(asked, self._place.netloc)
        self._free: deque[Caller] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS)
        self.taken: list[str] = []
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}

    async def blow(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time() + 0.2
        async with asyncio.TaskGroup() as group:
            for number, (name, request) in enumerate(self._posts):
                due = began + number / self._rate
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                group.create_task(self._post(due, name, request))

    async def _post(self, due: float, name: str, request: bytes) -> None:
        async with self._room:
            caller = await self._caller()
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    status = str(await caller.call(request))
                self._free.append(caller)
            except (OSError, TimeoutError) as error:
                status = type(error).__name__
        self.latencies.append(asyncio.get_running_loop().time() - due)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == "202":
            self.taken.append(name)

    async def _caller(self) -> Caller:
        while self._free:
            caller = self._free.pop()
            if caller.is_open:
                return caller
        loop = asyncio.get_running_loop()
        _, caller = await loop.create_connection(Caller, self._place.hostname, self._place.port)
        return caller


def signed(asked: dict[str, Any], host: str) -> list[tuple[str, bytes]]:
    """Every post by the id in it; the gateway takes a signature for five minutes."""
    sources = list(asked["secrets"].items())
    posts = []
    for number in range(int(asked["rate"] * asked["seconds"])):
        source_id, secret = sources[number % len(sources)]
        name = f"E-{number}"
        body = json.dumps({"events": [{"entity": "inventory", "id": name, "op": "upsert"}]}).encode()
        now = str(int(time.time()))
        signature = generic_signature(secret.encode(), now, body)
        head = (
            f"POST /webhooks/{source_id} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"X-Headrace-Timestamp: {now}\r\nX-Headrace-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        posts.append((name, head.encode() + body))
    return posts


def main() -> None:
    storm = Storm(json.load(sys.stdin))
    began = time.process_time()
    asyncio.run(storm.blow())
    found = sorted(storm.latencies)
    latency = {name: found[min(len(found) - 1, int(len(found) * part))] for name, part in _PARTS.items()}
    cpu = time.process_time() - began
    print(json.dumps({"statuses": storm.statuses, "taken": storm.taken, "latency": latency, "storm_cpu": cpu}))


_PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    main()
