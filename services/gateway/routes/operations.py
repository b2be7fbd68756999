"""The deployment as administrators see it: queues, workers, calls to vendors, keys. No tenant's data, no secret."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.admins import CurrentAdmin, operations_router
from services.gateway.asking import ask
from services.gateway.deps import Deps, GatewayDeps
from services.gateway.paging import ItemList
from services.gateway.problems import ProblemError, unavailable
from shared.contracts.messages import LimitsReply, LimitsRequested, ScopeLimits
from shared.errors import PlatformAwayError
from shared.messaging.ports import QueueState
from shared.messaging.topology import QUEUES, QueueName
from shared.storage import outbox
from shared.storage.operators import act_as_operator
from shared.storage.read_meters import AccountReads, reads_by_account
from shared.storage.sealing_keys import first_seen, kids_in_use
from shared.storage.upstream_calls import calls_by_account

router: APIRouter = operations_router()

INSPECT_SECONDS = 3.0
_EATS: Final[dict[str, QueueName]] = {
    "scheduler": "dead",
    "fetcher": "fetch",
    "transformer": "transform",
    "writer": "write",
}
"""The queue that each process of a service consumes exactly once."""


class QueueView(BaseModel):
    """One queue. `ready`, `consumers` null: the broker cannot be asked now. `outbox` waits in the database for the
    broker and has no consumers; `oldest_seconds` is its alone."""

    queue: str
    ready: int | None
    consumers: int | None = None
    oldest_seconds: float | None = None


class WorkerView(BaseModel):
    """A service. `alive`: its processes that are attached to `queue`, as the broker counts them; one that vanished
    without a word counts for about a minute more."""

    service: str
    queue: str
    alive: int


class KeyView(BaseModel):
    """One sealing key. `boxes`: credentials sealed under it; `tokens`: consents (OAuth) whose tokens are;
    `first_seen_at` null: no fetcher has started with it."""

    kid: str
    boxes: int
    tokens: int
    current: bool = Field(description="This gateway seals under it.")
    first_seen_at: datetime | None


class MonthlyReadsView(BaseModel):
    """Reads that the vendor counts by the month. At least as many as were made: one is counted before it is sent."""

    month: str = Field(description="YYYY-MM on the vendor's calendar: the newest in which the account was read.")
    reads: int
    shared_reads: int = Field(description="Of all accounts that share the allowance: of QuickBooks, those of one app.")
    allowed: int | None


class LimitView(BaseModel):
    """One upstream account and limit class. `last_call_minute` null: none within the last hour; the scope is then the
    account alone. `reads` null: its vendor counts none by the month."""

    scope: str
    this_minute: int = 0
    last_hour: int = 0
    last_call_minute: datetime | None = None
    reads: MonthlyReadsView | None
    limiter: ScopeLimits | None = Field(default=None, description="Null: no fetcher could be asked just now.")


@router.get("/queues")
async def queues(admin: CurrentAdmin, deps: Deps) -> ItemList[QueueView]:
    """Depth and consumers of every queue, and of the outbox."""
    async with deps.database.for_tenant(admin.user_id) as conn:
        waiting, oldest = await outbox.depth(conn)
    states = await asyncio.gather(*(_state(deps, queue) for queue in QUEUES))
    items = [
        QueueView(queue=queue, ready=state and state.ready, consumers=state and state.consumers)
        for queue, state in zip(QUEUES, states, strict=True)
    ]
    return ItemList(items=[*items, QueueView(queue="outbox", ready=waiting, oldest_seconds=oldest)], next_cursor=None)


@router.get("/workers")
async def workers(deps: Deps) -> ItemList[WorkerView]:
    """How many processes of each service work now. 503 while the broker cannot be asked."""
    states = await asyncio.gather(*(_state(deps, queue) for queue in _EATS.values()))
    items = []
    for (service, queue), state in zip(_EATS.items(), states, strict=True):
        if state is None:
            raise unavailable("The broker cannot be asked who works.", "Try again soon; work that waits is not lost.")
        items.append(WorkerView(service=service, queue=queue, alive=state.consumers))
    return ItemList(items=items, next_cursor=None)


@router.get("/limits")
async def limits(admin: CurrentAdmin, deps: Deps) -> ItemList[LimitView]:
    """Calls to each upstream account in the last hour, and what the limiter makes of it now: a fetcher is asked. And
    what its vendor counts by the month, of accounts that rest now too."""
    async with deps.database.for_tenant(admin.user_id) as conn:
        await act_as_operator(conn)
        calls, metered = await calls_by_account(conn), await reads_by_account(conn)
    now = await _limiter_of(deps, [use.scope for use in calls])
    reads = {each.account: _monthly(deps, each) for each in metered}
    items = [
        LimitView(**use.model_dump(), reads=reads.get(use.scope.rpartition("|")[0]), limiter=now.get(use.scope))
        for use in calls
    ]
    resting = reads.keys() - {use.scope.rpartition("|")[0] for use in calls}
    items += [LimitView(scope=account, reads=reads[account]) for account in sorted(resting)]
    return ItemList(items=items, next_cursor=None)


def _monthly(deps: GatewayDeps, reads: AccountReads) -> MonthlyReadsView:
    spec = deps.specs.get(reads.account.partition("|")[0])
    meter = None if spec is None else spec.read_meter
    return MonthlyReadsView(
        month=reads.month,
        reads=reads.reads,
        shared_reads=reads.pool_reads,
        allowed=None if meter is None else meter.per_month,
    )


async def _limiter_of(deps: GatewayDeps, scopes: list[str]) -> Mapping[str, ScopeLimits]:
    """Nothing when no fetcher answers: the calls are worth showing all the same."""
    if not scopes:
        return {}
    try:
        reply = await ask(deps, "probe", LimitsRequested(scopes=tuple(scopes)), LimitsReply, INSPECT_SECONDS)
    except ProblemError:
        return {}
    return reply.scopes if isinstance(reply, LimitsReply) else {}


@router.get("/keys")
async def keys(admin: CurrentAdmin, deps: Deps) -> ItemList[KeyView]:
    """Names of the sealing keys and what is sealed under each; never a key."""
    async with deps.database.for_tenant(admin.user_id) as conn:
        used, seen = await kids_in_use(conn), await first_seen(conn)
    current = deps.sealing.current_kid
    items = [
        KeyView(
            kid=kid,
            boxes=used[kid].boxes if kid in used else 0,
            tokens=used[kid].tokens if kid in used else 0,
            current=kid == current,
            first_seen_at=seen.get(kid),
        )
        for kid in sorted({current, *used, *seen})
    ]
    return ItemList(items=items, next_cursor=None)


async def _state(deps: GatewayDeps, queue: QueueName) -> QueueState | None:
    try:
        async with asyncio.timeout(INSPECT_SECONDS):
            return await deps.bus.inspect(queue)
    except (PlatformAwayError, TimeoutError):
        return None
