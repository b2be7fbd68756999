"""A collection in one answer: taken apart at once while it is small, record by record when it is large."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.json_stream import JsonRecords
from shared.connector_sdk.protocol import BadRecord, Client, Request
from shared.connectors.json_api.records import no_list, no_objects, plain_path, records_of
from shared.contracts.messages import RawRecord, encode_json
from shared.errors import DataError
from shared.expressions.values import type_name

SMALL_BYTES = 8 * 1024 * 1024
"""Up to here a body is held and parsed as a whole, which is ten times as fast."""
MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""The same for a records_path that has to see the whole answer."""

Records = AsyncGenerator[RawRecord | BadRecord, None]


async def read_whole(client: Client, request: Request, records_path: str | None) -> Records:
    """All records. Memory holds `SMALL_BYTES` of the body, or up to `MAX_WHOLE_BYTES` where the path is no plain one.

    Raises what the client raises, UnusableBodyError for what is no JSON, DataError for what holds no list of objects.
    """
    plain = plain_path(records_path)
    headers: dict[str, str] = {}
    async with aclosing(client.stream(request, on_headers=headers.update)) as chunks:
        start, ended = await _take(chunks, MAX_WHOLE_BYTES if plain is None else SMALL_BYTES)
        if not ended:
            if plain is None:
                raise DataError(
                    f"the answer is larger than {MAX_WHOLE_BYTES // 1024**2} MB, and records_path is an expression",
                    hint="Name the list by a plain path such as data.items, or configure a pagination.",
                )
            reader = JsonRecords(plain.keys, headers.get("content-type", ""))
            async with aclosing(_streamed(start, chunks, reader)) as records:
                async for record in records:
                    yield record
            if reader.found != "array" and not (plain.optional and reader.found in {None, "null"}):
                raise no_list(reader.found or "null", records_path)
            if reader.first is not None:
                raise no_objects(reader.first, records_path)
            return
    for element in records_of(parse_json(start, headers.get("content-type", "")), records_path):
        yield element if isinstance(element, dict) else _rejected(element)


async def _take(chunks: AsyncGenerator[bytes, None], bound: int) -> tuple[bytes, bool]:
    """The body's beginning, a little above `bound`, and whether that is all of it."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bound:
            return bytes(body), False
    return bytes(body), True


async def _streamed(start: bytes, chunks: AsyncGenerator[bytes, None], reader: JsonRecords) -> Records:
    for element in reader.feed(start):
        yield element if isinstance(element, dict) else _rejected(element)
    async for chunk in chunks:
        for element in reader.feed(chunk):
            yield element if isinstance(element, dict) else _rejected(element)
    for element in reader.finish():
        yield element if isinstance(element, dict) else _rejected(element)


def _rejected(element: Any) -> BadRecord:
    return BadRecord(raw=encode_json(element).decode(), reason=f"expected an object, got {type_name(element)}")
