"""Connection tests: a sealed row and a message to the fetcher, whose answer is awaited."""

import time
from uuid import UUID

from services.gateway.asking import NoReply, ask_for
from services.gateway.deps import GatewayDeps
from services.gateway.models import EntityTest, TestResult
from services.gateway.probe_rows import stored_row, unsaved_row
from services.gateway.problems import ProblemError
from services.gateway.source_rules import JsonObject, check_source, spec_of
from shared.contracts.ids import SourceId, UserId
from shared.contracts.messages import ProbeReply, ProbeRequested
from shared.errors import PersonMustActError
from shared.storage.sources import SourceView


async def test_unsaved(
    deps: GatewayDeps, user_id: UserId, source_type: str, config: JsonObject, credentials: JsonObject
) -> TestResult:
    """Try what is not stored. What is wrong with it is the result, not an error. Raises a 503 problem."""
    began = time.monotonic()
    try:
        spec = spec_of(deps.specs, source_type)
        check_source(spec, config, credentials)
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
    async with unsaved_row(deps, user_id, spec, config, credentials) as probe_id:
        return await _result(deps, user_id, probe_id, None)


async def test_stored(deps: GatewayDeps, user_id: UserId, source: SourceView) -> TestResult:
    """Try a source with the credentials it has. Raises a 503 problem."""
    async with stored_row(deps, user_id, source) as probe_id:
        return await _result(deps, user_id, probe_id, source.id)


async def _result(deps: GatewayDeps, user_id: UserId, probe_id: UUID, source_id: SourceId | None) -> TestResult:
    began = time.monotonic()
    reply = await ask_for(deps, user_id, ProbeRequested(probe_id=probe_id, source_id=source_id), ProbeReply)
    if isinstance(reply, NoReply):
        return TestResult(
            ok=False, category=reply.category, message=reply.message, hint=reply.hint, latency_ms=_since(began)
        )
    return TestResult(
        ok=reply.ok,
        category=reply.category,
        message=reply.message,
        hint=reply.hint,
        latency_ms=reply.latency_ms,
        entities={entity: EntityTest(**found.model_dump()) for entity, found in reply.entities.items()},
    )


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
