"""Recovery: what to publish so that an active run goes on from what is surely committed. One way for all."""

from dataclasses import dataclass, field

from shared.contracts.ids import RunId
from shared.contracts.messages import FetchPage, RunRequested
from shared.storage import pages, runs
from shared.storage.closing import Closed, Failure, fail_entity, try_close
from shared.storage.database import Database

MAX_REPLANS = 3


@dataclass(frozen=True, slots=True)
class Replan:
    """Messages to publish, and what closing did when nothing was left to fetch."""

    requests: tuple[RunRequested, ...] = ()
    fetches: tuple[FetchPage, ...] = ()
    closed: Closed = field(default_factory=Closed)


async def replan(db: Database, run_id: RunId, *, rescue: int = 0) -> Replan:
    """Keep each entity's unbroken committed prefix, void the rest, and say what to publish.

    Safe at any time and from several places at once: messages of the voided chain die at the ledger.
    `rescue`: the how manieth rescue of a stalled run this is; after MAX_REPLANS of them the run fails.
    """
    async with db.for_run(run_id) as (conn, head):
        if head is None:
            return Replan()
        if head.status == "queued":
            return Replan(requests=(RunRequested(run_id=run_id),))
        if head.status != "running":
            return Replan()
        exhausted = rescue > MAX_REPLANS
        fetches = []
        if not exhausted:
            for plan in await runs.running_entities(conn, run_id):
                restart = await pages.replan_entity(conn, run_id, plan.entity)
                if restart.message is not None:
                    fetches.append(restart.message)
    if exhausted:
        failure = Failure(
            "INTERNAL_ERROR",
            f"the run made no progress and {MAX_REPLANS} restarts did not help",
            "Look at the services' logs, then sync again.",
        )
        return Replan(closed=await fail_entity(db, run_id, None, failure))
    return Replan(fetches=tuple(fetches), closed=await try_close(db, run_id))
