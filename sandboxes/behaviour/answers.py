"""How each fault looks on the wire."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from sandboxes.behaviour.faults import FaultRule
from sandboxes.data.documents import decode, encode

Produce = Callable[[], Awaitable[web.StreamResponse]]
PAGE_LOOP = web.RequestKey("page_loop", bool)
"""Set on a request whose answer should name itself as the next page; the paging code obeys."""

_LOGIN_PAGE = "<!doctype html><html><head><title>Sign in</title></head><body><form>Please sign in</form></body></html>"


async def answer(rule: FaultRule, request: web.Request, produce: Produce) -> web.StreamResponse:
    """The faulty answer; `produce` makes the good one, for faults that need its body."""
    if rule.kind == "page_loop":
        request[PAGE_LOOP] = True
    ready = await _without_data(rule, request)
    if ready is not None:
        return ready
    good = await produce()
    return await _spoil(rule, request, good) if isinstance(good, web.Response) else good


async def _without_data(rule: FaultRule, request: web.Request) -> web.Response | None:
    """The answer of a fault that has nothing to do with the data."""
    response = None
    match rule.kind:
        case "status":
            response = web.json_response({"error": "fault"}, status=rule.status or 500, headers=rule.headers)
        case "redirect":
            response = web.Response(status=rule.status or 302, headers={"Location": rule.url})
        case "drop":
            _close(request)
            response = web.Response(status=500)
        case "empty":
            response = web.Response(content_type="application/json")
        case "html":
            response = web.Response(text=_LOGIN_PAGE, content_type="text/html")
        case "gzip_bomb":
            bomb = await asyncio.to_thread(_bomb, rule.size)
            response = web.Response(body=bomb, headers={"Content-Encoding": "gzip"}, content_type="application/json")
        case "deep_nesting":
            response = web.Response(body=b"[" * rule.depth + b"]" * rule.depth, content_type="application/json")
        case _:
            pass
    return response


async def _spoil(rule: FaultRule, request: web.Request, good: web.Response) -> web.StreamResponse:
    body = good.body
    if not isinstance(body, bytes):
        return good
    response: web.StreamResponse = good
    match rule.kind:
        case "truncated_json":
            response = web.Response(body=body[: len(body) // 2], headers=_headers(good))
        case "wrong_type":
            wrong = _without_lists(decode(body)) if good.content_type == "application/json" else {"message": "ok"}
            response = web.Response(body=encode(wrong), content_type="application/json")
        case "wrong_encoding":
            other = body.decode(errors="replace").encode(rule.encoding, errors="replace")
            response = web.Response(body=other, headers=_headers(good))
        case "trickle":
            response = await _trickle(request, good, body, rule.ms / 1000)
        case "cut":
            response = await _cut(request, good, body, chunked=rule.chunked)
        case _:
            pass
    return response


def _headers(good: web.StreamResponse) -> dict[str, str]:
    kept = ("Content-Type", "Link", "ETag", "Last-Modified", "Content-Encoding")
    return {name: good.headers[name] for name in kept if name in good.headers}


def _without_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: {"message": "ok"} if isinstance(part, list) else part for name, part in value.items()}
    return {"message": "ok"}


async def _cut(request: web.Request, good: web.StreamResponse, body: bytes, *, chunked: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(good))
    if chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _close(request)
    return response


async def _trickle(request: web.Request, good: web.StreamResponse, body: bytes, seconds: float) -> web.StreamResponse:
    response = web.StreamResponse(headers=_headers(good))
    response.content_length = len(body)
    await response.prepare(request)
    step = -(-len(body) // 10) or 1
    for start in range(0, len(body), step):
        await asyncio.sleep(seconds / 10)
        await response.write(body[start : start + step])
    return response


def _close(request: web.Request) -> None:
    """Close after what is written; the caller sees the end of the stream, not a reset that could lose sent bytes."""
    if request.transport is not None:
        request.transport.close()


def _bomb(size: int) -> bytes:
    """gzip of a JSON list that holds one string of about `size` characters."""
    packer = zlib.compressobj(9, wbits=31)
    block = b"0" * 1_000_000
    parts = [packer.compress(b'["')]
    parts += [packer.compress(block[: min(len(block), size - at)]) for at in range(0, size, len(block))]
    return b"".join([*parts, packer.compress(b'"]'), packer.flush()])
