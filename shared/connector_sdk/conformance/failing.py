"""Rules about what goes wrong: every answer of a vendor becomes the error that says what to do, and is asked once."""

from collections.abc import Iterable
from itertools import product

from shared.connector_sdk.conformance.description import Fault
from shared.connector_sdk.conformance.rule import Rule
from shared.connector_sdk.conformance.workbench import BrokenError, Step, Workbench
from shared.contracts.ids import Entity
from shared.errors import AuthenticationError, HeadraceError, RateLimitedError, UnavailableError, UnusableBodyError

_RETRY_AFTER = 7


async def _bad_keys_refused(bench: Workbench) -> None:
    for entity in bench.entities:
        for what in ("check()", "a read"):
            before = bench.vendor.arrivals()
            error: HeadraceError | None = None
            try:
                if what == "check()":
                    await bench.step(credentials=bench.vendor.wrong_credentials).source.check(entity)
                else:
                    await bench.read(entity, credentials=bench.vendor.wrong_credentials)
            except HeadraceError as raised:
                error = raised
            _expect(f"{entity}: {what} with wrong credentials", error, AuthenticationError)
            _asked_once(f"{entity}: {what} with wrong credentials", bench.vendor.arrivals() - before, 1)
    await _each(bench, [Fault("status", status=401), Fault("status", status=403)], AuthenticationError)


async def _rate_limit_told(bench: Workbench) -> None:
    for seconds in (_RETRY_AFTER, None):
        fault = Fault("status", status=429, retry_after=seconds)
        for what, error, steps in await _each(bench, [fault], RateLimitedError):
            assert isinstance(error, RateLimitedError)
            if error.retry_after != seconds:
                raise BrokenError(f"{what}: the error says {error.retry_after} seconds; the vendor said {seconds}")
            blocks = {told for step in steps for _, told in step.ledger.blocks}
            if blocks != {seconds}:
                raise BrokenError(f"{what}: the account's budget was told {blocks} instead of {seconds}")


async def _vendor_faults_retried(bench: Workbench) -> None:
    statuses = [Fault("status", status=status) for status in (500, 502, 503, 504)]
    await _each(bench, [*statuses, Fault("drop")], UnavailableError)


async def _cut_body_refused(bench: Workbench) -> None:
    await _each(bench, [Fault("cut"), Fault("cut_chunked")], UnusableBodyError)


async def _web_page_refused(bench: Workbench) -> None:
    await _each(bench, [Fault("html")], UnusableBodyError)


async def _empty_body_refused(bench: Workbench) -> None:
    await _each(bench, [Fault("empty")], UnusableBodyError)


async def _each(
    bench: Workbench, faults: Iterable[Fault], expected: type[HeadraceError]
) -> list[tuple[str, HeadraceError, list[Step]]]:
    """Every entity under every fault, from its first call on and from its second, where it makes two."""
    calls = {entity: (await bench.read(entity)).calls for entity in bench.entities}
    seen = []
    for entity, fault, after in product(bench.entities, faults, (0, 1)):
        if after < calls[entity]:
            seen.append(await _one(bench, entity, Fault(fault.kind, after, fault.status, fault.retry_after), expected))
    return seen


async def _one(
    bench: Workbench, entity: Entity, fault: Fault, expected: type[HeadraceError]
) -> tuple[str, HeadraceError, list[Step]]:
    number = f" {fault.status}" if fault.kind == "status" else ""
    what = f"{entity}: {fault.kind}{number} on call {fault.after + 1}"
    error, arrivals, steps = await bench.failure(entity, fault)
    found = _expect(what, error, expected)
    _asked_once(what, arrivals, fault.after + 1)
    return what, found, steps


def _expect(what: str, error: HeadraceError | None, expected: type[HeadraceError]) -> HeadraceError:
    if error is None:
        raise BrokenError(f"{what} passes for a good answer; {expected.__name__} is due")
    if not isinstance(error, expected):
        raise BrokenError(f"{what} is {type(error).__name__}; {expected.__name__} is due")
    return error


def _asked_once(what: str, arrivals: int, due: int) -> None:
    if arrivals != due:
        raise BrokenError(f"{what}: {arrivals} requests arrived, {due} are due: retries are not a connector's business")


FAILING: tuple[Rule, ...] = (
    Rule(
        "bad_keys_refused",
        "Wrong credentials, 401 and 403 are AUTH_FAILED, and are not tried again.",
        _bad_keys_refused,
    ),
    Rule(
        "rate_limit_told",
        "429 is RATE_LIMITED with the vendor's Retry-After, or none if it said none.",
        _rate_limit_told,
    ),
    Rule(
        "vendor_faults_retried",
        "5xx and a dropped connection are NETWORK_ERROR, left to the caller.",
        _vendor_faults_retried,
    ),
    Rule("cut_body_refused", "A body that was cut is never a short read.", _cut_body_refused),
    Rule("web_page_refused", "A web page where data was due is never an empty read.", _web_page_refused),
    Rule("empty_body_refused", "An answer without a body is never an empty read.", _empty_body_refused),
)
