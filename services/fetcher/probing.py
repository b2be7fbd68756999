"""On ProbeRequested: a cheap call per entity, or fewer, and what is wrong in words. Nothing is saved."""

import time
from collections.abc import Mapping, Sequence

from services.fetcher.opening import SourceOpener
from services.fetcher.probe_time import LATE_HINT, LATE_MESSAGE, PROBE_SECONDS
from shared.connector_sdk.protocol import JointSource
from shared.contracts.ids import Entity
from shared.contracts.messages import EntityProbe, ProbeReply, ProbeRequested, decode, encode
from shared.errors import Category, HeadraceError, ParkError, PersonMustActError, PlatformAwayError, RetryableError
from shared.messaging.ports import Message
from shared.storage import probes
from shared.storage.database import Database
from shared.storage.sealed_sources import SealedSource

_Outcomes = Mapping[Entity, int | HeadraceError]
"""How many records of each entity were seen, or what is wrong."""

LATE_PROBE = ProbeReply(
    ok=False, category="NETWORK_ERROR", message=LATE_MESSAGE, hint=LATE_HINT, latency_ms=int(PROBE_SECONDS * 1000)
)


class ProbeHandler:
    """Answers every request: what fails is the answer, not an error."""

    def __init__(self, db: Database, opener: SourceOpener) -> None:
        self._db = db
        self._opener = opener

    async def on_probe_requested(self, message: Message) -> Message:
        """The reply. Raises PlatformAwayError alone."""
        request = decode(ProbeRequested, message.body)
        started = time.monotonic()
        async with self._db.transaction() as conn:
            sealed = await probes.load(conn, request.probe_id)
        if sealed is None:
            reply = ProbeReply(ok=False, message="the test expired before it could start", latency_ms=0)
        else:
            reply = await self._probe(sealed, started)
        return Message(ProbeReply.KIND, encode(reply))

    async def _probe(self, sealed: SealedSource, started: float) -> ProbeReply:
        outcomes: _Outcomes = {}
        failure: HeadraceError | None = None
        calls = 0
        try:
            entities = self._opener.connector(sealed.source_type).spec.entities(sealed.config)
        except HeadraceError as error:
            failure = error
        else:
            outcomes, calls = await self._outcomes(sealed, entities)
        found: dict[Entity, EntityProbe] = {}
        for entity, outcome in outcomes.items():
            if isinstance(outcome, HeadraceError):
                failure = failure or outcome
                found[entity] = EntityProbe(ok=False, message=outcome.message)
            else:
                found[entity] = EntityProbe(ok=True, sample_count=outcome)
        latency = int((time.monotonic() - started) * 1000)
        if failure is None:
            message = "The source answers." if calls else "The source answered not long ago; nothing was called now."
            return ProbeReply(ok=True, message=message, latency_ms=latency, entities=found)
        return ProbeReply(
            ok=False,
            category=category_of(failure),
            message=failure.message,
            hint=failure.hint or None,
            latency_ms=latency,
            entities=found,
        )

    async def _outcomes(self, sealed: SealedSource, entities: Sequence[Entity]) -> tuple[_Outcomes, int]:
        """What each entity's check found, and the calls it took. Raises PlatformAwayError alone."""
        try:
            described = self._opener.unconnected(sealed.source_type, sealed.config)
            if isinstance(described, JointSource):
                return await self._together(sealed, entities, described.calls_of_checks(entities))
        except PlatformAwayError:
            raise
        except HeadraceError as error:
            return dict.fromkeys(entities, error), 0
        found: dict[Entity, int | HeadraceError] = {}
        calls = 0
        for entity in entities:
            try:
                async with self._opener.open(sealed, entity, parks=False) as opened:
                    found[entity] = await opened.source.check(entity)
                    await opened.client.keep()
                    calls += opened.client.calls
            except PlatformAwayError:
                raise
            except HeadraceError as error:
                found[entity] = error
        return found, calls

    async def _together(
        self, sealed: SealedSource, entities: Sequence[Entity], calls: Mapping[str, int]
    ) -> tuple[_Outcomes, int]:
        async with self._opener.open(sealed, entities[0], calls=calls, parks=False) as opened:
            assert isinstance(opened.source, JointSource)
            found = await opened.source.check_together(entities)
            if not any(isinstance(outcome, HeadraceError) for outcome in found.values()):
                await opened.client.keep()
            return found, opened.client.calls


def category_of(error: HeadraceError) -> Category:
    """What the caller is told of it."""
    match error:
        case PersonMustActError() | RetryableError() | ParkError():
            return error.category
        case _:
            return "INTERNAL_ERROR"


class ProbeHooks:
    """A test that fails in an unforeseen way simply gets no answer; the gateway says so."""

    async def on_retry(self, message: Message, error: BaseException, resume_at: float) -> None:
        """Nobody to tell."""

    async def on_park(self, message: Message, resume_at: float) -> None:
        """A test never parks: it reports."""

    def with_slot(self, message: Message, slot: str) -> Message:  # noqa: ARG002 - the protocol's shape
        """It carries no slot."""
        return message

    async def on_failed(self, message: Message, category: Category, text: str, hint: str) -> None:
        """Nobody to tell."""
