"""Deliveries between a transport's callbacks and the tasks that work on them."""

import asyncio
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Inbox(Generic[_Item]):
    """A queue that many tasks may iterate and that can end for all of them. Bounded by the transport's prefetch."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self.ended = False

    def __aiter__(self) -> "Inbox[_Item]":
        return self

    async def __anext__(self) -> _Item:
        item = await self._items.get()
        if item is None:
            self._items.put_nowait(None)  # the next task has to see the end too
            raise StopAsyncIteration
        return item

    def put(self, item: _Item) -> None:
        """Never blocks: the transport hands over no more than the prefetch."""
        self._items.put_nowait(item)

    def take_nowait(self) -> _Item | None:
        """An item that is here already, else None."""
        if self._items.empty():
            return None
        item = self._items.get_nowait()
        if item is None:
            self._items.put_nowait(None)
        return item

    def take_all(self) -> list[_Item]:
        """Everything that nobody has started."""
        taken = []
        while (item := self.take_nowait()) is not None:
            taken.append(item)
        return taken

    def end(self) -> None:
        """Every iteration ends once the items before this are taken."""
        if not self.ended:
            self.ended = True
            self._items.put_nowait(None)


class LossyInbox(Generic[_Item]):
    """What a listener hears: bounded by forgetting the oldest. Giving up one wait doesn't end the iteration."""

    def __init__(self, size: int) -> None:
        self._items: asyncio.Queue[_Item] = asyncio.Queue(size)

    def __aiter__(self) -> "LossyInbox[_Item]":
        return self

    async def __anext__(self) -> _Item:
        return await self._items.get()

    def put(self, item: _Item) -> None:
        """Never blocks."""
        if self._items.full():
            self._items.get_nowait()
        self._items.put_nowait(item)
