import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.runtime.service import ServiceEndedError, run_services

Body = Callable[["Part", asyncio.Event], Awaitable[None]]


class Part:
    """A service whose life is the function it is given."""

    def __init__(self, name: str, body: Body) -> None:
        self.name = name
        self.running = asyncio.Event()
        self.drained = False
        self.cancelled = False
        self._body = body

    async def run(self, stop: asyncio.Event) -> None:
        self.running.set()
        try:
            await self._body(self, stop)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def ready(self) -> bool:
        return True


async def drains(part: Part, stop: asyncio.Event) -> None:
    await stop.wait()
    await asyncio.sleep(0)
    part.drained = True


async def never_ends(_part: Part, _stop: asyncio.Event) -> None:
    await asyncio.Event().wait()


async def dies(_part: Part, _stop: asyncio.Event) -> None:
    raise OSError("broken")


async def returns(_part: Part, _stop: asyncio.Event) -> None:
    return


async def cancels_itself(_part: Part, _stop: asyncio.Event) -> None:
    raise asyncio.CancelledError


async def fails_while_draining(_part: Part, stop: asyncio.Event) -> None:
    await stop.wait()
    raise OSError("while draining")


async def test_all_drain_when_told_to_stop() -> None:
    stop = asyncio.Event()
    parts = [Part("a", drains), Part("b", drains)]
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(run_services(parts, stop, grace=5))
        await asyncio.gather(*(part.running.wait() for part in parts))
        assert not any(part.drained for part in parts)
        stop.set()
    assert all(part.drained and not part.cancelled for part in parts)


async def test_who_does_not_drain_in_time_is_cancelled_and_that_is_no_error() -> None:
    stop = asyncio.Event()
    quick, stuck = Part("quick", drains), Part("stuck", never_ends)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(run_services([quick, stuck], stop, grace=0.05))
        await stuck.running.wait()
        stop.set()
    assert (quick.drained, stuck.cancelled) == (True, True)


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (dies, OSError, "broken"),
        (returns, ServiceEndedError, "bad ended by itself"),
        (cancels_itself, ServiceEndedError, "bad was cancelled"),
    ],
)
async def test_when_one_dies_the_others_drain_and_its_error_is_raised(
    body: Body, error: type[Exception], text: str
) -> None:
    other, stop = Part("other", drains), asyncio.Event()
    async with asyncio.timeout(5):
        with pytest.raises(error, match=text):
            await run_services([other, Part("bad", body)], stop, grace=5)
    assert (other.drained, other.cancelled, stop.is_set()) == (True, False, True)


async def test_several_deaths_are_all_told() -> None:
    parts = [Part("a", dies), Part("b", fails_while_draining)]
    with pytest.raises(ExceptionGroup) as raised:
        await run_services(parts, asyncio.Event(), grace=5)
    assert sorted(str(error) for error in raised.value.exceptions) == ["broken", "while draining"]


async def test_cancelling_the_whole_cancels_all() -> None:
    parts = [Part("a", never_ends), Part("b", never_ends)]
    task = asyncio.create_task(run_services(parts, asyncio.Event(), grace=5))
    await asyncio.gather(*(part.running.wait() for part in parts))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(part.cancelled for part in parts)


async def test_no_services_wait_for_the_stop() -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(run_services([], stop, grace=5))
    await asyncio.sleep(0)
    assert not task.done()
    stop.set()
    await task
