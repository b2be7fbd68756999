"""The one connection to Redis: short timeouts, no hidden retries, and every failure as PlatformAwayError."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ChildDeadlockedError,
    IncorrectPolicyType,
    NoScriptError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.errors import PlatformAwayError


class Script:
    """A Lua script and the name Redis knows it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisServer:
    """Commands of ours on one server. Keys and values are bytes or text; answers are bytes."""

    def __init__(self, client: "Redis", *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    @classmethod
    def at(cls, url: str, *, timeout: float = 5.0, max_connections: int = 32) -> Self:
        """Connects on first use. `timeout` in seconds bounds a command, with its connecting and waiting for a turn."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            # No time of the library's own for a command: it would send through `asyncio.wait_for`, which before
            # Python 3.12 can swallow the cancellation of its caller. The time that holds is in `_bounded`.
            socket_timeout=None,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            # One more try on a connection that turns out dead, as all are after a restart. Commands sent through
            # here are idempotent. A server that does not answer is not asked twice: the caller pauses instead.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            protocol=2,
        )
        return cls(Redis.from_pool(pool), timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        async with self._bounded():
            await self._client.aclose()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes]) -> Any:
        """The script's answer. It must be safe to run twice with the same arguments."""
        client = cast(Any, self._client)  # the library types scripts as `Awaitable[str] | str`
        async with self._bounded():
            try:
                return await client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await client.eval(script.text, len(keys), *keys, *args)

    async def get(self, key: str) -> bytes | None:
        """The value, None when there is none."""
        async with self._bounded():
            return cast(bytes | None, await self._client.get(key))

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Store for `ttl` seconds."""
        async with self._bounded():
            await self._client.set(key, value, px=max(1, int(ttl * 1000)))

    async def delete(self, *keys: str) -> None:
        """Remove the keys."""
        if keys:
            async with self._bounded():
                await self._client.unlink(*keys)

    async def ready(self) -> bool:
        """True when the server answers."""
        try:
            async with self._bounded():
                await cast(Any, self._client).ping()
        except PlatformAwayError:
            return False
        return True

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """What a caller does inside ends in time, and fails as ours."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except (RedisError, RedisClusterException, ChildDeadlockedError, IncorrectPolicyType, OSError) as error:
            # The library's errors have no one root. OSError covers the built-in TimeoutError and ConnectionError too.
            what = str(error) or f"no answer within {self._timeout:g} s"
            raise PlatformAwayError(f"Redis: {type(error).__name__}: {what}", hint="Is Redis running?") from error
