"""What a service is, and how several live and end together."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from shared.errors import HeadraceError
from shared.observability.logging import get_logger


class Service(Protocol):
    """One long-running part of a process. Its composition root opens its resources before and closes them after."""

    @property
    def name(self) -> str:
        """For logs and task names."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then take nothing new, finish what is in hand, and return."""
        ...

    async def ready(self) -> bool:
        """Whether it can do its work now (its servers answer). Quick; may raise, which means no."""
        ...


class ServiceEndedError(HeadraceError):
    """A service returned although nobody stopped it."""


async def run_services(services: Sequence[Service], stop: asyncio.Event, grace: float) -> None:
    """Run all until `stop`; give them `grace` seconds to drain, then cancel what is left.

    When one dies, `stop` is set, the others drain, and its error is raised (several: an ExceptionGroup). Cancelling
    after the grace period is no error: unsettled messages come again.
    """
    log = get_logger("runtime")
    failures: list[Exception] = []

    async def one(service: Service) -> None:
        try:
            await service.run(stop)
            if not stop.is_set():
                failures.append(ServiceEndedError(f"{service.name} ended by itself"))
        except asyncio.CancelledError:
            if not stop.is_set():
                failures.append(ServiceEndedError(f"{service.name} was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - raised below, once the others have drained
            log.critical("service_died", service=service.name, error=type(error).__name__)
            failures.append(error)
        finally:
            stop.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(service), name=service.name) for service in services]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=grace) if tasks else (set(), set[asyncio.Task[None]]())
        for task in late:
            log.warning("service_cancelled", service=task.get_name(), grace_seconds=grace)
            task.cancel()
    if len(failures) > 1:
        raise ExceptionGroup("several services died", failures)
    if failures:
        raise failures[0]
