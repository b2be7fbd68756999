"""One vendor's behaviour in one place, and the middleware that makes an application behave so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sandboxes.behaviour.answers import answer
from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.clock import steady, wall
from sandboxes.behaviour.faults import Faults
from sandboxes.behaviour.limits import Arrival, ArrivalLog, Limits, too_many
from sandboxes.behaviour.validators import ValidatorMode

CONTROL = "/_control/"
"""Paths below this are the test's own: no credential, no limit, no fault, no log."""


@dataclass
class Behaviour:
    """Switches of one server. Set the attributes at any time; `reset` goes back to those it was made with."""

    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    validators: ValidatorMode | None = None
    """None: as servers of the kind mostly do."""
    steady: Callable[[], float] = steady
    wall: Callable[[], datetime] = wall
    faults: Faults = field(default_factory=Faults, init=False)
    log: ArrivalLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = ArrivalLog(self.steady)
        self._first = (self.auth, self.limits, self.validators)

    def reset(self) -> None:
        """No faults, an empty log, the first credentials, limits and validators."""
        self.auth, self.limits, self.validators = self._first
        self.faults.set()
        self.log.clear()


def behave(behaviour: Behaviour) -> Middleware:
    """Log the arrival, check the credential, count, strike with a fault or answer: in this order, as vendors do."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL):
            return await _plain(request, handler)
        account = behaviour.auth.account(request)
        arrival = behaviour.log.enter(account or "nobody", request.method, request.path_qs)
        try:
            response = await _respond(behaviour, request, handler, arrival, known=account is not None)
            if request.transport is not None and not request.transport.is_closing():
                arrival.status = response.status
                # sent here and not by the caller of the middleware, so that in flight means until the last byte
                await response.prepare(request)
                await response.write_eof()
            return response
        finally:
            behaviour.log.leave()

    return middleware


async def _respond(
    behaviour: Behaviour, request: web.Request, handler: Handler, arrival: Arrival, *, known: bool
) -> web.StreamResponse:
    if not known:
        return behaviour.auth.refuse()
    if behaviour.limits.limits and (wait := behaviour.log.wait(arrival, behaviour.limits)):
        return too_many(wait, behaviour.limits.retry_after, behaviour.wall())
    delay, fault = behaviour.faults.strike(request.path)
    if delay:
        await asyncio.sleep(delay)
    if fault is None:
        return await _plain(request, handler)
    return await answer(fault, request, lambda: _plain(request, handler))


async def _plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The good answer; what the handler refuses becomes JSON, as an API's errors are."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return web.json_response({"error": refusal.text or refusal.reason}, status=refusal.status)
