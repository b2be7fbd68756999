"""The gateway's collaborators, and how a route gets them: by coroutines, since a plain function is given a thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from services.gateway.identity import TokenVerifier
from services.gateway.run_watch import RunWatch
from services.gateway.sessions import Sessions
from services.gateway.turns import Turns
from shared.clock import Clock
from shared.connector_sdk.spec import ConnectorSpec
from shared.http.egress import EgressPolicy
from shared.messaging.ports import Bus
from shared.observability.tracing import NoTracing, Tracing
from shared.sealing.keyring import SealingKeys
from shared.sealing.symmetric import SymmetricBox
from shared.storage.database import Database


@dataclass(frozen=True, slots=True)
class GatewayDeps:
    """`database`: of the role headrace_gateway. `probe_timeout`: seconds that a connection test may take, below 60."""

    database: Database
    bus: Bus
    specs: Mapping[str, ConnectorSpec]
    sealing: SealingKeys
    webhook_box: SymmetricBox
    egress: EgressPolicy
    """What the fetcher may call: a source that it would refuse is refused when it is saved."""
    verifier: TokenVerifier
    clock: Clock
    probe_timeout: float = 55.0
    allowed_origins: Sequence[str] = ()
    requests_per_minute: int = 6_000
    tracing: Tracing = field(default_factory=NoTracing)
    probe_turns: Turns = field(default_factory=Turns)
    public_url: str = ""
    """As browsers see it; empty: plain http on loopback."""


def sessions_of(deps: GatewayDeps) -> Sessions:
    """The sessions of browsers."""
    return Sessions(deps.webhook_box, deps.clock, deps.database)


async def _deps(request: Request) -> GatewayDeps:
    deps = request.app.state.deps
    assert isinstance(deps, GatewayDeps)
    return deps


async def _run_watch(request: Request) -> RunWatch:
    watch = request.app.state.run_watch
    assert isinstance(watch, RunWatch)
    return watch


Deps = Annotated[GatewayDeps, Depends(_deps)]
Watch = Annotated[RunWatch, Depends(_run_watch)]
