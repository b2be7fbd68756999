"""What happens to each request before and after its handler: log, account, key, limits, faults, headers."""

import asyncio
import math

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandboxes.behaviour.answers import answer
from sandboxes.behaviour.limits import Arrival
from sandboxes.behaviour.server import CONTROL
from sandboxes.finale.answering import login_page, not_found, too_many, unauthorized
from sandboxes.finale.rates import Standing, classes_of
from sandboxes.finale.spoils import spoiled
from sandboxes.finale.state import FinaleState


def access(state: FinaleState) -> Middleware:
    """Log the arrival, check account and key, count, then fail as told or answer."""
    behaviour = state.behaviour

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL):
            return await _control(request, handler)
        known = _known(state, request)
        arrival = behaviour.log.enter(state.account if known else "nobody", request.method, request.path_qs)
        try:
            response = await _respond(state, request, handler, arrival, known=known)
            if request.transport is not None and not request.transport.is_closing():
                arrival.status = response.status
                # sent here, so that in flight means until the last byte
                await response.prepare(request)
                await response.write_eof()
            return response
        finally:
            behaviour.log.leave()

    return middleware


def _known(state: FinaleState, request: web.Request) -> bool:
    """Whether the caller's key opens this account; a key of another account does not."""
    account = state.behaviour.auth.account(request)
    return account == state.account or (account is not None and state.behaviour.auth.kind == "none")


async def _control(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return web.json_response({"error": refusal.text or refusal.reason}, status=refusal.status)


async def _respond(
    state: FinaleState, request: web.Request, handler: Handler, arrival: Arrival, *, known: bool
) -> web.StreamResponse:
    path = request.rel_url.raw_path
    if not path.startswith(f"/{state.account}/"):
        return not_found(path)
    report = path.startswith(f"/{state.account}/doc/report/")
    if not known:
        return login_page() if report else unauthorized()
    standing = state.rates.count(
        classes_of(state.account, request.method, path), arrival.time, state.switches.window_scale
    )
    headers = standing.headers(state.behaviour.wall())
    general = state.behaviour.log.wait(arrival, state.behaviour.limits)
    if standing.wait or general:
        return too_many(headers | _retry_after(state, standing, general))
    if report and state.switches.one_report_at_a_time and state.reports_running:
        return too_many(headers)
    state.reports_running += report
    try:
        response = await _faulty_or_good(state, request, handler)
    finally:
        state.reports_running -= report
    if not response.prepared:
        response.headers.update(headers)
    return response


def _retry_after(state: FinaleState, standing: Standing, general: float) -> dict[str, str]:
    if not state.switches.retry_after:
        return {}
    return {"Retry-After": str(max(1, math.ceil(max(standing.wait, general))))}


async def _faulty_or_good(state: FinaleState, request: web.Request, handler: Handler) -> web.StreamResponse:
    async def good() -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            return not_found(request.rel_url.raw_path)
        spoil = state.spoils.strike(request.path)
        return response if spoil is None else spoiled(spoil, response)

    delay, fault = state.behaviour.faults.strike(request.path)
    if delay:
        await asyncio.sleep(delay)
    return await good() if fault is None else await answer(fault, request, good)
