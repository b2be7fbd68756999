"""The one connection to Redis: short timeouts, no hidden retries, and every failure as PlatformAwayError."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

    def __init__(self, client: "Redis") -> None:
        self._client = client

    @classmethod
    def at(cls, url: str, *, timeout: float = 3.0, max_connections: int = 32) -> Self:
        """Connects on first use. `timeout` in seconds bounds connecting, each answer, and waiting for a connection."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            socket_keepalive=True,
            # One more try on a connection that turns out dead, as all are after a restart. Commands sent through
            # here are idempotent. A server that does not answer is not asked twice: the caller pauses instead.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            protocol=2,
        )
        return cls(Redis.from_pool(pool))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        with _mapped():
            await self._client.aclose()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes]) -> Any:
        """The script's answer. It must be safe to run twice with the same arguments."""
        client = cast(Any, self._client)  # the library types scripts as `Awaitable[str] | str`
        with _mapped():
            try:
                return await client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await client.eval(script.text, len(keys), *keys, *args)

    async def get(self, key: str) -> bytes | None:
        """The value, None when there is none."""
        with _mapped():
            return cast(bytes | None, await self._client.get(key))

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Store for `ttl` seconds."""
        with _mapped():
            await self._client.set(key, value, px=max(1, int(ttl * 1000)))

    async def delete(self, *keys: str) -> None:
        """Remove the keys."""
        if keys:
            with _mapped():
                await self._client.unlink(*keys)

    async def ready(self) -> bool:
        """True when the server answers."""
        try:
            with _mapped():
                await cast(Any, self._client).ping()
        except PlatformAwayError:
            return False
        return True


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except (RedisError, RedisClusterException, ChildDeadlockedError, IncorrectPolicyType, OSError) as error:
        # The library's errors have no one root. OSError covers the built-in TimeoutError and ConnectionError too.
        raise PlatformAwayError(f"Redis: {type(error).__name__}: {error}", hint="Is Redis running?") from error
