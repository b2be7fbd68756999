"""Rules about calls: each is paid for, goes where the spec says, ends when it is cancelled, and shows no secret."""

import asyncio
import json
from typing import Any

from pydantic import TypeAdapter

from shared.connector_sdk.conformance.description import Fault
from shared.connector_sdk.conformance.rule import Rule
from shared.connector_sdk.conformance.watch import Watch
from shared.connector_sdk.conformance.workbench import BrokenError, Step, Workbench, closing
from shared.connector_sdk.protocol import ReadRequest
from shared.contracts.ids import Entity
from shared.errors import HeadraceError
from shared.http.urls import origin, parse_url

_LEAST_SECRET_CHARS = 8


async def _calls_paid(bench: Workbench) -> None:
    for entity in bench.entities:
        before, opened = bench.vendor.arrivals(), len(bench.steps)
        await bench.read(entity)
        await bench.step().source.check(entity)
        steps = bench.steps[opened:]
        arrived, paid = bench.vendor.arrivals() - before, sum(step.client.calls for step in steps)
        if arrived != paid:
            raise BrokenError(f"{entity}: {arrived} requests arrived, {paid} were paid for: every call is the client's")
        for step in steps:
            _within_reserve(bench, entity, step)


def _within_reserve(bench: Workbench, entity: Entity, step: Step) -> None:
    reserved = step.reserved(entity)
    for name, count in step.ledger.spent.items():
        if name not in bench.spec.rate_limits:
            raise BrokenError(f"{entity}: spends the limit class {name!r}, which rate_limits does not have")
        if count > reserved.get(name, 0):
            raise BrokenError(
                f"{entity}: a step made {count} calls of class {name!r}, {reserved.get(name, 0)} reserved"
            )


async def _origins_declared(bench: Workbench) -> None:
    declared = set(bench.spec.origins(bench.vendor.config))
    for entity in bench.entities:
        reading = await bench.read(entity)
        for request in (request for step in reading.steps for request in step.client.requests):
            called = origin(parse_url(request.url))
            if called not in declared:
                raise BrokenError(f"{entity}: calls {called}, which origins() does not name")


async def _cancel_closes(bench: Workbench) -> None:
    for entity in bench.entities:
        step = bench.step()
        bench.vendor.fault(Fault("hang"))
        task = asyncio.create_task(_first_records(step, entity))
        try:
            await bench.until(lambda: bench.vendor.in_flight() > 0, f"{entity}: no request arrived")
            task.cancel()
            await bench.until(task.done, f"{entity}: a cancelled read did not end")
            if not task.cancelled():
                raise BrokenError(f"{entity}: a read swallowed its cancellation")
            _let_go(entity, step, "a cancelled read")
            await bench.until(
                lambda: bench.vendor.in_flight() == 0, f"{entity}: a cancelled read's connection was not closed"
            )
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            bench.vendor.fault(None)
        if step.source.shape(entity) == "spool":
            left_early = bench.step()
            await _first_records(left_early, entity)
            _let_go(entity, left_early, "a read that was left early")


async def _first_records(step: Step, entity: Entity) -> None:
    """One page, or one record of a spooled read, which is then closed as the fetcher closes it."""
    request = ReadRequest(entity, None)
    if step.source.shape(entity) == "pages":
        await step.source.read_page(request, None)
        return
    async with closing(step.source.read_all(request)) as items:
        async for _ in items:
            break


def _let_go(entity: Entity, step: Step, what: str) -> None:
    if step.ledger.under_way:
        raise BrokenError(f"{entity}: {what} holds {step.ledger.under_way} calls: close streams with aclosing()")


async def _secrets_hidden(bench: Workbench) -> None:
    vendor = bench.vendor
    watch = Watch(_checked_secrets(bench))
    with watch.recording():
        for what, credentials in (("credentials", vendor.credentials), ("wrong credentials", vendor.wrong_credentials)):
            watch.see("repr of the credentials", bench.spec.credentials.validate_python(dict(credentials)))
            _see_refusals(watch, bench.spec.credentials, dict(credentials), what)
        secret = next(iter(vendor.secrets))
        _see_refusals(watch, bench.spec.config, {**vendor.config, "no_such_key_of_ours": secret}, "config")
        for entity in bench.entities:
            reading = await bench.read(entity)
            step = reading.steps[0]
            watch.see("the source", step.source, bench.connector, bench.spec)
            watch.see("a page", *reading.pages, *reading.bad)
            watch.see("a cursor", *reading.cursors)
            watch.see("a request", *(request for one in reading.steps for request in one.client.requests))
            await _see_failures(bench, watch, entity)
    if watch.leaks:
        raise BrokenError(f"a secret can be seen in: {', '.join(watch.leaks)}")


def _checked_secrets(bench: Workbench) -> list[str]:
    text = json.dumps([dict(bench.vendor.credentials), dict(bench.vendor.wrong_credentials)], ensure_ascii=False)
    secrets = list(bench.vendor.secrets)
    if not secrets or any(len(one) < _LEAST_SECRET_CHARS or one not in text for one in secrets):
        raise BrokenError(
            f"the description's secrets: parts of the credentials, {_LEAST_SECRET_CHARS} characters or more"
        )
    return secrets


def _see_refusals(watch: Watch, adapter: TypeAdapter[Any], value: dict[str, Any], what: str) -> None:
    """Each key in turn with a value of the wrong type, and a stranger: the errors may not quote what they refuse."""
    spoiled = [value | {name: [inner]} for name, inner in value.items()] + [value | {"no_such_key_of_ours": value}]
    for wrong in spoiled:
        try:
            adapter.validate_python(wrong)
        except ValueError as error:
            watch.see(f"the error of refused {what}", error, *_messages(error))


def _messages(error: ValueError) -> list[str]:
    details = getattr(error, "errors", None)
    return [] if details is None else [str(one["msg"]) for one in details(include_input=False)]


async def _see_failures(bench: Workbench, watch: Watch, entity: Entity) -> None:
    for fault in (Fault("status", status=401), Fault("status", status=429), Fault("drop"), Fault("cut"), Fault("html")):
        error, _, _ = await bench.failure(entity, fault)
        if error is not None:
            watch.see_error("an error", error)
    try:
        await bench.read(entity, credentials=bench.vendor.wrong_credentials)
    except HeadraceError as error:
        watch.see_error("an error", error)


CALLING: tuple[Rule, ...] = (
    Rule("calls_paid", "Requests that arrive are those paid for, within what a step reserves.", _calls_paid),
    Rule("origins_declared", "Credentials go to the origins that the spec names, and no further.", _origins_declared),
    Rule("cancel_closes", "A read that is cancelled or left early ends, and closes its connection.", _cancel_closes),
    Rule("secrets_hidden", "No secret in a repr, an error, a log, a page, a cursor or a request.", _secrets_hidden),
)
