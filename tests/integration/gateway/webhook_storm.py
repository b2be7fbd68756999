"""A process of its own that posts signed webhooks at a fixed rate, whatever the answers take; prints what came of it.

Standard input: `{"url", "secrets": {source_id: secret}, "rate", "seconds"}`. A latency counts from the moment when the
post was due, so that a server that makes its callers wait cannot hide it.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp

from services.gateway.signatures import generic_signature


async def storm(asked: dict[str, Any]) -> dict[str, Any]:
    rate, seconds = asked["rate"], asked["seconds"]
    sources = list(asked["secrets"].items())
    began = asyncio.get_running_loop().time() + 0.2
    taken: list[str] = []
    latencies: list[float] = []
    statuses: dict[str, int] = {}

    async def post(session: aiohttp.ClientSession, number: int) -> None:
        source_id, secret = sources[number % len(sources)]
        due = began + number / rate
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        name = f"E-{number}"
        body = json.dumps({"events": [{"entity": "inventory", "id": name, "op": "upsert"}]}).encode()
        now = str(int(time.time()))
        headers = {"X-Headrace-Timestamp": now, "X-Headrace-Signature": generic_signature(secret.encode(), now, body)}
        try:
            async with session.post(f"{asked['url']}/webhooks/{source_id}", data=body, headers=headers) as answer:
                await answer.read()
                status = str(answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            status = type(error).__name__
        latencies.append(asyncio.get_running_loop().time() - due)
        statuses[status] = statuses.get(status, 0) + 1
        if status == "202":
            taken.append(name)

    connector = aiohttp.TCPConnector(limit=200)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            group.create_task(post(session, number))
    latencies.sort()
    at = {name: latencies[min(len(latencies) - 1, int(len(latencies) * part))] for name, part in _PARTS.items()}
    return {"statuses": statuses, "taken": taken, "latency": at}


_PARTS = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(storm(json.load(sys.stdin)))))
