"""What happens around every request: the log, credentials, limits, faults and the form of refusals."""

import asyncio
import math
import uuid
from typing import Literal

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandboxes.behaviour.answers import answer
from sandboxes.behaviour.server import CONTROL
from sandboxes.quickbooks.faults import VendorFault
from sandboxes.quickbooks.oauth import EXCHANGE
from sandboxes.quickbooks.state import QuickBooksState
from sandboxes.quickbooks.wire import QuickBooksError, page, refuse

_COMPANY = "/v3/company/"


def behave(state: QuickBooksState) -> Middleware:
    """Log the arrival, count, check the token, count for the app, strike with a fault or answer: in this order."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL):
            return await _control(request, handler)
        realm = request.path.removeprefix(_COMPANY).partition("/")[0] if request.path.startswith(_COMPANY) else None
        log = state.behaviour.log
        arrival = log.enter(realm or "sign-in", request.method, request.path_qs)
        try:
            if realm is None:
                response = await _struck(state, request, handler)
            else:
                response = await _company(state, request, handler, realm)
            if request.transport is not None and not request.transport.is_closing():
                if not response.prepared:
                    response.headers["intuit_tid"] = f"1-{uuid.uuid4()}"
                arrival.status = response.status
                # sent here and not by the caller of the middleware, so that in flight means until the last byte
                await response.prepare(request)
                await response.write_eof()
            return response
        finally:
            log.leave()
            if (exchange := request.get(EXCHANGE)) is not None:
                state.sign_in.log.leave(exchange, arrival.status)

    return middleware


async def _company(state: QuickBooksState, request: web.Request, handler: Handler, realm: str) -> web.StreamResponse:
    batch = request.path.endswith("/batch")
    wait = state.limits.realm(realm, batch=batch)
    account = None
    try:
        client = _client(state, request, realm)
        account = f"{realm}/{client}"
        wait = max(wait, state.limits.app(account, batch=batch))
        if wait:
            return _throttled(state, request, wait)
        _settled(state, request)
        async with asyncio.timeout(state.switches.timeout_seconds):
            return await _vendor_faults(state, request, handler)
    except QuickBooksError as error:
        if wait and account is None and error.code == "3200":
            return _throttled(state, request, wait)
        in_200 = state.switches.faults_in_200 or (
            error.code == "6190" and state.switches.subscription == "lapsed_in_200"
        )
        return refuse(request, error, state.clock.wall(), in_200=in_200)
    except TimeoutError:
        return page(504)
    finally:
        if account is not None:
            state.limits.leave(account)


def _client(state: QuickBooksState, request: web.Request, realm: str) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    company = state.companies.get(realm)
    environment: Literal["sandbox", "production"] = "sandbox" if company is None else company.environment
    return state.tokens.caller(token if scheme.lower() == "bearer" else "", realm, environment)


def _settled(state: QuickBooksState, request: web.Request) -> None:
    """What is checked before a request is looked at."""
    if state.switches.subscription != "valid":
        raise QuickBooksError("6190", "Subscription period has ended or canceled or there was a billing problem.")
    if state.switches.require_minor_version and not request.query.get("minorversion"):
        raise QuickBooksError("2020", "Required parameter minorversion is missing in the request", "minorversion")


def _throttled(state: QuickBooksState, request: web.Request, wait: float) -> web.Response:
    detail = "The request limit was reached.  Try again later"
    error = QuickBooksError("3001", detail, form=state.switches.throttle_body)
    response = refuse(request, error, state.clock.wall())
    if state.switches.retry_after:
        response.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return response


async def _vendor_faults(state: QuickBooksState, request: web.Request, handler: Handler) -> web.StreamResponse:
    rule = state.faults.first(lambda rule: request.path.startswith(rule.path))
    if rule is None:
        return await _struck(state, request, handler)
    if rule.after:
        await _struck(state, request, handler)
    return _spoiled(request, rule)


def _spoiled(request: web.Request, rule: VendorFault) -> web.Response:
    match rule.form:
        case "html":
            return page(rule.status or 503)
        case "gateway":
            return web.Response(status=rule.status or 502)
        case "drop":
            if request.transport is not None:
                request.transport.close()
            return web.Response(status=500)
        case _:
            raise rule.error()


async def _struck(state: QuickBooksState, request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer with the faults that all sandboxes know."""
    delay, fault = state.behaviour.faults.strike(request.path)
    if delay:
        await asyncio.sleep(delay)
    if fault is None:
        return await _plain(request, handler)
    return await answer(fault, request, lambda: _plain(request, handler))


async def _plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The good answer; a path that does not exist is answered by what stands before the vendor."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return page(refusal.status)


async def _control(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return web.json_response({"error": refusal.text or refusal.reason}, status=refusal.status)
