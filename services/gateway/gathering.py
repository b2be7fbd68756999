"""Work that many ask for at once, done together: whoever comes while a batch is under way is in the next one."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.errors import PlatformAwayError

MAX_TOGETHER = 200
MAX_WEIGHT = 5_000
"""Of a batch, in what its maker weighs by: no tenant's large posts hold up everybody's for long."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gatherer(Generic[Item, Result]):
    """Calls `work` with some items at a time, one call after the other; it answers with a result for each, in order.

    An item that `work` stumbles over does not fail its neighbours: they are done again, one by one.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        most: int = MAX_TOGETHER,
        weigh: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        """A batch holds at most `most` items, and what weighs at most MAX_WEIGHT together or is a single item."""
        self._work = work
        self._most = most
        self._weigh = weigh
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
                count = self._fitting()
                batch, self._waiting = self._waiting[:count], self._waiting[count:]
                try:
                    await self._together(batch)
                finally:
                    for _, future in batch:
                        future.cancel()  # only where the batch was cut off: else all are done
        finally:
            self._task = None

    def _fitting(self) -> int:
        weights = itertools.accumulate(self._weigh(item) for item, _ in self._waiting[: self._most])
        return max(1, sum(1 for weight in weights if weight <= MAX_WEIGHT))

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
