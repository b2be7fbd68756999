"""Vendors' answers in Redis: sealed, bounded in bytes, gone when their time is over. docs/adr/0010-response-cache.md.

An answer that may be used lies under the key that the README names, for as long as the source allows. One that the
vendor can be asked about is kept apart from that key for a day, and the key then only says that it is fresh: so the
life of the key is always the time in which the answer may be used.
"""

import asyncio
import json
import struct
from importlib import resources
from typing import Any, cast

from shared.contracts.messages import decode_json, encode_json
from shared.coordination.ports import KeptAnswer, Question, Shelf, Wanted
from shared.coordination.redis import RedisServer, Script
from shared.errors import SealError
from shared.sealing.symmetric import SymmetricBox

CONFIRM_SECONDS = 26 * 3600
"""How long an answer is kept to be confirmed, from when its body came: a vendor that wrongly says "not modified" is
found out within a day, and a daily sync still finds yesterday's."""
DEFAULT_BYTES = 128 * 1024 * 1024
"""Of all entries together."""
_LENGTH = struct.Struct(">I")
_LARGE = 256 * 1024
"""Bodies above this are sealed and opened in a thread, one at a time: each takes several times its size."""


class RedisResponseCache:
    """ResponseCache in Redis. Any number of them, in any process with the same keys, are one cache."""

    def __init__(
        self, redis: RedisServer, boxes: SymmetricBox, *, prefix: str = "headrace:", max_bytes: int = DEFAULT_BYTES
    ) -> None:
        self._redis = redis
        self._boxes = boxes
        # The braces put the books on one node of a cluster.
        self._prefix = f"{prefix}{{cache}}:"
        self._max_bytes = max_bytes
        text = resources.files("shared.coordination").joinpath("response_cache.lua").read_text(encoding="utf-8")
        self._script = Script(text)
        self._one_large = asyncio.Lock()

    async def find(self, shelf: Shelf, question: Question, wanted: Wanted) -> KeptAnswer | None:
        mark = None if wanted == "stale" else await self._read(shelf, _entry(shelf, question))
        if mark is not None and not mark[0]["held"]:
            return _answer(*mark, fresh=True)
        if mark is None and wanted == "fresh":
            return None
        body = await self._read(shelf, self._held(question))
        if body is None:
            return None
        head = body[0] if mark is None else {**body[0], **mark[0]}
        return _answer(head, body[1], fresh=mark is not None)

    async def keep(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int, to_confirm: bool) -> bool:
        head = {
            "held": to_confirm,
            "headers": dict(answer.headers),
            "url": answer.url,
            "secret_params": sorted(answer.secret_params),
            "kept_at": answer.kept_at,
            "kept_by": answer.kept_by,
        }
        if not to_confirm:
            return await self._write(shelf, _entry(shelf, question), head, answer.body, ttl)
        if not await self._write(shelf, self._held(question), head, answer.body, ttl + CONFIRM_SECONDS):
            return False
        return await self.confirm(shelf, question, answer, ttl=ttl)

    async def confirm(self, shelf: Shelf, question: Question, answer: KeptAnswer, *, ttl: int) -> bool:
        head = {"held": True, "kept_at": answer.kept_at, "kept_by": answer.kept_by}
        return await self._write(shelf, _entry(shelf, question), head, b"", ttl)

    async def distrust(self, shelf: Shelf, question: Question) -> None:
        await self._remove(shelf.source_id, [_entry(shelf, question), self._held(question)])

    async def purge(self, source_id: str) -> None:
        await self._remove(source_id, [entry.decode() for entry in await self._books("list", source_id)])

    async def _write(self, shelf: Shelf, key: str, head: dict[str, Any], body: bytes, ttl: int) -> bool:
        text = encode_json(head)
        plain = b"".join((_LENGTH.pack(len(text)), text, body))
        if len(plain) <= _LARGE:
            return await self._store(shelf, key, self._boxes_of(shelf).seal(plain, (key,)), ttl)
        async with self._one_large:
            return await self._store(
                shelf, key, await asyncio.to_thread(self._boxes_of(shelf).seal, plain, (key,)), ttl
            )

    async def _store(self, shelf: Shelf, key: str, sealed: bytes, ttl: int) -> bool:
        room, *evicted = await self._books(
            "admit", shelf.source_id, key, str(len(sealed)), str(ttl * 1000), str(self._max_bytes)
        )
        await self._drop([entry.decode() for entry in evicted])
        if room:
            await self._redis.set(key, sealed, ttl=ttl)
        return bool(room)

    async def _read(self, shelf: Shelf, key: str) -> tuple[dict[str, Any], bytes] | None:
        sealed = await self._redis.get(key)
        if sealed is None:
            return None
        boxes = self._boxes_of(shelf)
        try:
            if len(sealed) <= _LARGE:
                plain = boxes.open(sealed, (key,))
            else:
                async with self._one_large:
                    plain = await asyncio.to_thread(boxes.open, sealed, (key,))
        except SealError:  # under a key that has left the ring, or not ours at all
            return None
        (length,) = _LENGTH.unpack_from(plain)
        end = _LENGTH.size + length
        return decode_json(plain[_LENGTH.size : end]), plain[end:]

    async def _remove(self, source_id: str, entries: list[str]) -> None:
        await self._drop(entries)
        await self._books("forget", source_id, json.dumps(entries))

    async def _drop(self, entries: list[str]) -> None:
        for entry in entries:  # one by one: in a cluster they are on different nodes
            await self._redis.delete(entry)

    async def _books(self, operation: str, source_id: str, *args: str) -> list[Any]:
        keys = [self._prefix + name for name in ("expiry", "sizes", f"source:{source_id}")]
        return cast("list[Any]", await self._redis.run(self._script, keys, [operation, *args]))

    def _held(self, question: Question) -> str:
        return f"{self._prefix}held:{question.digest}"

    def _boxes_of(self, shelf: Shelf) -> SymmetricBox:
        return self._boxes.narrowed(shelf.secret)


def _entry(shelf: Shelf, question: Question) -> str:
    return f"connector:{shelf.source_type}:{shelf.user_id}:{question.method}:{question.digest}"


def _answer(head: dict[str, Any], body: bytes, *, fresh: bool) -> KeptAnswer:
    return KeptAnswer(
        headers=head["headers"],
        body=body,
        url=head["url"],
        secret_params=frozenset(head["secret_params"]),
        kept_at=float(head["kept_at"]),
        kept_by=head["kept_by"],
        fresh=fresh,
    )
