"""Work that many ask for at once, done together: whoever comes while a batch is under way is in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import PlatformAwayError

MAX_TOGETHER = 200

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gatherer(Generic[Item, Result]):
    """Calls `work` with some items at a time, one call after the other; it answers with a result for each, in order.

    An item that `work` stumbles over does not fail its neighbours: they are done again, one by one.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], most: int = MAX_TOGETHER) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        """The item's result, or what `work` raised over it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="gatherer")
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                try:
                    await self._together(batch)
                finally:
                    for _, future in batch:
                        future.cancel()  # only where the batch was cut off: else all are done
        finally:
            self._task = None

    async def _together(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who asked are told
            if len(batch) > 1 and not isinstance(error, PlatformAwayError):
                for each in batch:
                    await self._together([each])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():  # whoever asked may have left
                future.set_result(result)
