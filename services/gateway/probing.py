"""Connection tests: a sealed row and a message to the fetcher, whose answer is awaited."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from services.gateway.deps import GatewayDeps
from services.gateway.models import EntityTest, TestResult
from services.gateway.problems import ProblemError, unavailable
from services.gateway.source_editing import seal
from services.gateway.source_rules import JsonObject, check_source, spec_of
from shared.contracts.ids import SourceId, UserId
from shared.contracts.messages import ProbeReply, ProbeRequested, decode, encode
from shared.errors import HeadraceError, PersonMustActError, PlatformAwayError, PoisonMessageError
from shared.messaging.ports import Message
from shared.observability.logging import get_logger
from shared.sealing.boxes import Context
from shared.storage import probes
from shared.storage.database import Connection
from shared.storage.sources import SourceView

READY_SECONDS = 2.0

_log = get_logger("gateway")


async def test_unsaved(
    deps: GatewayDeps, user_id: UserId, source_type: str, config: JsonObject, credentials: JsonObject
) -> TestResult:
    """Try what is not stored. What is wrong with it is the result, not an error. Raises a 503 problem."""
    began = time.monotonic()
    try:
        spec = spec_of(deps.specs, source_type)
        check_source(spec, config, credentials)
        origins = spec.origins(config)
    except ProblemError as problem:
        return TestResult(
            ok=False,
            category=problem.body.category,
            message=problem.body.detail,
            hint=problem.body.hint,
            latency_ms=_since(began),
        )
    except PersonMustActError as error:
        return TestResult(
            ok=False, category=error.category, message=error.message, hint=error.hint or None, latency_ms=_since(began)
        )
    probe_id = uuid4()
    sealed = seal(deps, Context(user_id, SourceId(probe_id), origins), credentials)

    async def write(conn: Connection) -> None:
        await probes.insert_unsaved(conn, probe_id, user_id, source_type, config, sealed.box)

    return await _ask(deps, user_id, probe_id, None, write)


async def test_stored(deps: GatewayDeps, user_id: UserId, source: SourceView) -> TestResult:
    """Try a source with the credentials it has. Raises a 503 problem."""
    probe_id = uuid4()

    async def write(conn: Connection) -> None:
        await probes.insert_stored(conn, probe_id, user_id, source.source_type, source.config, source.id)

    return await _ask(deps, user_id, probe_id, source.id, write)


async def _ask(
    deps: GatewayDeps,
    user_id: UserId,
    probe_id: UUID,
    source_id: SourceId | None,
    write: Callable[[Connection], Awaitable[None]],
) -> TestResult:
    began = time.monotonic()
    async with deps.database.for_tenant(user_id) as conn:
        await write(conn)
    try:
        request = Message(ProbeRequested.KIND, encode(ProbeRequested(probe_id=probe_id, source_id=source_id)))
        answer = await deps.bus.request("probe", request, timeout=deps.probe_timeout)
        reply = decode(ProbeReply, answer.body)
    except PlatformAwayError as error:
        return await _unanswered(deps, error, began)
    except PoisonMessageError as error:
        _log.error("probe_reply_refused", reason=error.message)
        return TestResult(
            ok=False, category="INTERNAL_ERROR", message="The test gave no usable answer.", latency_ms=_since(began)
        )
    finally:
        await _forget(deps, user_id, probe_id)
    return TestResult(
        ok=reply.ok,
        category=reply.category,
        message=reply.message,
        hint=reply.hint,
        latency_ms=reply.latency_ms,
        entities={entity: EntityTest(**found.model_dump()) for entity, found in reply.entities.items()},
    )


async def _unanswered(deps: GatewayDeps, error: PlatformAwayError, began: float) -> TestResult:
    """A queue that works but in which nobody answered in time is a result; a queue that is away is not."""
    waited = time.monotonic() - began
    if waited >= deps.probe_timeout * 0.95 and await bus_ready(deps):
        return TestResult(
            ok=False,
            category="NETWORK_ERROR",
            message=f"No answer within {deps.probe_timeout:g} seconds.",
            hint="The source answers slowly, or no fetcher is free. Try again.",
            latency_ms=_since(began),
        )
    raise unavailable(
        "The queue to the fetchers is away, so nothing could be tested.",
        "Try again in a moment; saving the source does not need the queue.",
    ) from error


async def bus_ready(deps: GatewayDeps) -> bool:
    """True while the bus answers within READY_SECONDS that it works."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await deps.bus.ready()
    except TimeoutError:
        return False


async def _forget(deps: GatewayDeps, user_id: UserId, probe_id: UUID) -> None:
    try:
        async with deps.database.for_tenant(user_id) as conn:
            await probes.remove(conn, probe_id)
    except HeadraceError as error:  # it expires by itself
        _log.info("probe_left_to_retention", reason=error.message)


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
