"""Secrets that can be found in whatever spelling, a vendor that repeats them, and every form of credentials."""

import base64
import binascii
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from shared.messaging.amqp import AmqpBus
from shared.messaging.memory import MemoryBus
from shared.messaging.ports import Message
from shared.messaging.topology import QueueName

_ID = re.compile(r"91300\d{3}")


class Canaries:
    """Makes secrets and finds them: plain, URL-encoded, escaped for JSON, in base64 at any offset, in hex."""

    def __init__(self) -> None:
        self._needles: dict[str, str] = {}

    def new(self, name: str) -> str:
        """Awkward on purpose, around a core that no encoding of text changes."""
        core = secrets.token_hex(9)
        self._needles[core] = name
        for offset in range(3):
            encoded = base64.b64encode(bytes(offset) + core.encode()).decode()
            self._needles[encoded[4 if offset else 0 : -4]] = f"{name} in base64"
        self._needles[core.encode().hex()] = f"{name} in hex"
        return f'cnry {core}+/=&"\\%'

    def found(self, text: str) -> list[str]:
        return [name for needle, name in self._needles.items() if needle in text]


class Recording:
    """Before a bus: remembers all that it carried."""

    carried: list[str]

    def _record(self, message: Message) -> Message:
        self.carried.append(f"{message.kind} {dict(message.headers)} {message.body.decode('utf-8', 'replace')}")
        return message

    async def publish(self, queue: QueueName, message: Message, *, delay: float = 0) -> None:
        await super().publish(queue, self._record(message), delay=delay)  # type: ignore[misc]

    async def request(self, queue: QueueName, message: Message, *, timeout: float) -> Message:  # noqa: ASYNC109
        return self._record(await super().request(queue, self._record(message), timeout=timeout))  # type: ignore[misc]

    async def announce(self, message: Message) -> None:
        await super().announce(self._record(message))  # type: ignore[misc]


class RecordingBus(Recording, MemoryBus):
    """The in-process bus, recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.carried = []


class RecordingAmqp(Recording, AmqpBus):
    """RabbitMQ, recorded where a tap hears nothing: replies go straight to whoever asked."""

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__(url, prefix=prefix)
        self.carried = []


SCRIPTS: Mapping[str, Sequence[str]] = {
    "fine": ["ok"],
    "shaky": ["500", "cut", "html", "ok"],
    "denied": ["401"],
    "forbidden": ["403"],
    "strict": ["429", "ok"],
    "hung up": ["drop", "empty", "ok"],
    "astray": ["redirect"],
    "inside": ["redirect inside"],
    "nonsense": ["nonsense"],
}
"""What a source's vendor answers, call by call; afterwards it denies."""


class Vendor:
    """Repeats in every failure what it was sent, decoded too: no answer of a vendor may become a leak."""

    def __init__(self) -> None:
        self._left: dict[str, list[str]] = {}
        self.calls = 0
        self.seen: list[str] = []

    def scenario(self, script: str) -> str:
        """An id that the source's URLs must hold: they are told apart by it."""
        name = f"91300{len(self._left):03}"
        self._left[name] = list(SCRIPTS[script])
        return name

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        told = "\n".join(_heard(request, await request.text()))
        self.seen.append(told)
        match = _ID.search(request.path)
        left = self._left.get(match[0] if match else "", [])
        step = left.pop(0) if left else "401"
        quoted = re.sub(r"[\r\n]+", " ", told)[:3000].encode("latin-1", "replace").decode("latin-1")
        headers = {"X-Echo": quoted, "WWW-Authenticate": f'Basic realm="{quoted}"'}
        if step.isdigit():
            return web.Response(status=int(step), text=told, headers=headers | {"Retry-After": "1"})
        if step.startswith("redirect"):
            target = "http://10.1.2.3/" if step.endswith("inside") else f"http://localhost:{request.url.port}/"
            return web.Response(status=302, headers={"Location": f"{target}?told={quoted[:500].encode().hex()}"})
        return await self._body(request, step, told, headers)

    async def _body(self, request: web.Request, step: str, told: str, headers: Mapping[str, str]) -> web.StreamResponse:
        if step == "drop":
            assert request.transport is not None
            request.transport.abort()
        if step == "cut":
            response = web.StreamResponse(headers={**headers, "Content-Length": "100000"})
            await response.prepare(request)
            await response.write(told.encode())
            assert request.transport is not None
            request.transport.close()
            return response
        if step == "html":
            return web.Response(text=f"<html>{told}</html>", content_type="text/html", headers=headers)
        if step == "nonsense":
            return web.Response(text=f'{{"{told}', content_type="application/json", headers=headers)
        csv = "csv" in request.path
        good = "id,name\n1,bolt\n" if csv else '[{"id": 1, "name": "bolt"}]'
        return web.Response(
            text="" if step == "empty" else good, content_type="text/csv" if csv else "application/json"
        )


def _heard(request: web.Request, body: str) -> Iterator[str]:
    yield str(request.url)
    yield from request.query.values()
    for name, value in request.headers.items():
        yield f"{name}: {value}"
        try:
            yield base64.b64decode(value.rpartition(" ")[2], validate=True).decode()
        except (binascii.Error, ValueError):
            continue
    yield body


@dataclass(frozen=True)
class Form:
    """One form of credentials of one connector. `{base}`, `{id}` in the config; a credential "?" becomes a canary."""

    config: Mapping[str, Any]
    credentials: Mapping[str, Any]
    label: str = field(default="")

    def made(self, base: str, scenario: str, canaries: Canaries) -> tuple[Any, Any]:
        """Config and credentials for the API."""
        return _filled(self.config, base, scenario), _sealed(self.credentials, canaries, self.label)


def _filled(value: Any, base: str, scenario: str) -> Any:
    if isinstance(value, str):
        return value.replace("{base}", base).replace("{id}", scenario)
    return {name: _filled(each, base, scenario) for name, each in value.items()}


def _sealed(value: Any, canaries: Canaries, label: str) -> Any:
    if isinstance(value, str):
        return canaries.new(label) if value == "?" else value
    return {name: _sealed(each, canaries, f"{label} {name}") for name, each in value.items()}


_JSON = {"entities": {"inventory": {"url": "{base}/{id}/json", "id_path": "id"}}}
_CSV = {"entities": {"inventory": {"url": "{base}/{id}/csv", "id_column": "id"}}}
_PLAIN: Sequence[Mapping[str, Any]] = (
    {"type": "bearer", "token": "?"},
    {"type": "basic", "username": "somebody", "password": "?"},
    {"type": "api_key", "header": "X-Key", "value": "?"},
    {"type": "api_key", "query": "key", "value": "?"},
)
_FILE: Sequence[Mapping[str, Any]] = (
    {"type": "headers", "headers": {"X-One": "?", "X-Two": "?"}},
    {"type": "query", "params": {"one": "?", "two": "?"}},
)
FORMS: Mapping[str, Sequence[Form]] = {
    "json_api": [Form(_JSON, each, f"json {each['type']}") for each in _PLAIN],
    "csv_api": [Form(_CSV, each, f"csv {each['type']}") for each in (*_PLAIN, *_FILE)],
    "finale_inventory": [
        Form({"account": "{id}", "base_url": "{base}"}, {"api_key": "?", "api_secret": "?"}, "finale")
    ],
    "quickbooks": [
        Form(
            {
                "client_id": "app",
                "realm_id": "{id}",
                "environment": "sandbox",
                "base_url": "{base}",
                "token_url": "{base}/{id}/token",
            },
            {"client_secret": "?", "refresh_token": "?"},
            "quickbooks",
        )
    ],
}
"""Of every connector that ships: a new one without its forms here fails the test."""
