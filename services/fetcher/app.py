"""The fetcher's composition root."""

from services.fetcher.consenting import ConsentHandler
from services.fetcher.hooks import FetcherHooks
from services.fetcher.key_check import KeyCheck
from services.fetcher.limits_look import LimitsHandler
from services.fetcher.metering import CallMeter
from services.fetcher.opening import KeptAnswers, SourceOpener
from services.fetcher.page_chain import PageHandler
from services.fetcher.planning import PlanHandler
from services.fetcher.probe_time import PROBE_SECONDS, in_time
from services.fetcher.probing import LATE_PROBE, ProbeHandler, ProbeHooks
from services.fetcher.purging import EVERY_SECONDS, Purger
from services.fetcher.sampling import LATE_SAMPLE, SampleHandler
from services.fetcher.settings import FetcherSettings
from services.fetcher.spool_check import SpoolCheck
from shared.connector_sdk.registry import Registry, discover
from shared.connector_sdk.spool import SpoolSpace
from shared.connector_sdk.token_keeper import TokenKeeper
from shared.contracts.messages import ConsentRequested, LimitsRequested, SampleRequested
from shared.coordination.gate import SlotGate
from shared.coordination.limiter import RedisRateLimiter
from shared.coordination.ports import RateLimiter
from shared.coordination.response_cache import RedisResponseCache
from shared.errors import StartupError
from shared.http.client import HttpClient
from shared.http.egress import EgressPolicy
from shared.messaging.consumer import Consumer, Handler
from shared.messaging.ports import Message
from shared.runtime.consuming import ConsumerService, ServiceObserver, every
from shared.runtime.resources import Resources
from shared.runtime.service import Service
from shared.sealing.keyring import KeyRing
from shared.sealing.symmetric import derive_cache_keys
from shared.storage import upstream_calls
from shared.storage.database import Database

ROLE = "headrace_fetcher"
PROBE_WORKERS = 6
"""They mostly wait for sources; a gateway lets each user hold three at once, and no test holds one for long."""


def build(settings: FetcherSettings, resources: Resources, registry: Registry | None = None) -> Service:
    """Plan, fetch, test. Raises StartupError on missing, default or short keys; running, also on wrong ones."""
    db, redis, bus, clock = resources.need_database(), resources.need_redis(), resources.bus, resources.clock

    async def history(scope: str) -> list[tuple[float, int]]:
        return await upstream_calls.calls_of_last_hour(db, scope)

    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    meter = CallMeter(resources.metrics, resources.tracing)
    http = HttpClient(_egress(settings), clock)
    limiter = RedisRateLimiter(redis, history=history, prefix=resources.key_prefix)
    gate = SlotGate(limiter, clock, renew_every=limiter.lease_ttl / 3, watch=meter)
    registry = registry or discover()
    keeper = TokenKeeper(db, ring, http, clock, resources.secrets)
    cache = RedisResponseCache(
        redis, derive_cache_keys(ring), prefix=resources.key_prefix, max_bytes=settings.cache_megabytes * 1024**2
    )
    answers = None
    if settings.cache_megabytes:
        answers = KeptAnswers(cache, clock, lambda event: resources.metrics.cache_events.labels(event).inc())
    space = SpoolSpace(settings.spool_dir)
    opener = SourceOpener(registry, ring, resources.secrets, http, gate, db, keeper, space, meter, answers)
    hooks, observer = FetcherHooks(db, bus), ServiceObserver(resources)
    workers = settings.fetch_workers
    return ConsumerService(
        "fetcher",
        resources,
        enter=(KeyCheck(db, ring, registry), SpoolCheck(space, clock), http),
        loops=(every(EVERY_SECONDS, Purger(db, cache).purge, clock),),
        consumers=(
            Consumer(
                bus, "requests", PlanHandler(db, bus, opener, clock).on_run_requested,
                workers=2, prefetch=4, hooks=hooks, clock=clock, observer=observer,
            ),
            Consumer(
                bus, "fetch", PageHandler(db, bus, opener, clock, space).on_fetch_page,
                workers=workers, prefetch=workers, hooks=hooks, clock=clock, observer=observer,
            ),
            Consumer(
                bus, "probe", probing(db, opener, limiter),
                workers=PROBE_WORKERS, prefetch=PROBE_WORKERS, hooks=ProbeHooks(), clock=clock, observer=observer,
                breaker_limit=None,
            ),
        ),
    )  # fmt: skip


def probing(db: Database, opener: SourceOpener, limiter: RateLimiter, seconds: float = PROBE_SECONDS) -> Handler:
    """Tests, samples, consents and looks at limits share the queue of those who wait for an answer.

    A consent's code is good once, so what it brought is kept, however late; its one call has a bound of its own.
    """
    probe = in_time(ProbeHandler(db, opener).on_probe_requested, LATE_PROBE, seconds)
    sample = in_time(SampleHandler(db, opener).on_sample_requested, LATE_SAMPLE, seconds)
    looks, consents = LimitsHandler(limiter), ConsentHandler(db, opener)

    async def handle(message: Message) -> Message | None:
        if message.kind == SampleRequested.KIND:
            return await sample(message)
        if message.kind == LimitsRequested.KIND:
            return await looks.on_limits_requested(message)
        if message.kind == ConsentRequested.KIND:
            return await consents.on_consent_requested(message)
        return await probe(message)

    return handle


def _egress(settings: FetcherSettings) -> EgressPolicy:
    try:
        return EgressPolicy.parse(settings.egress_allow)
    except ValueError as error:
        raise StartupError(f"HEADRACE_EGRESS_ALLOW: {error}") from None
