"""The switches over HTTP, for tests that drive a sandbox in another process."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import CONTROL, Behaviour
from sandboxes.behaviour.validators import ValidatorMode
from sandboxes.data.documents import encode

_Body = TypeVar("_Body")


async def body_of(request: web.Request, shape: type[_Body]) -> _Body:
    """The request's JSON as that type; 400 says what does not fit."""
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except msgspec.DecodeError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def json_of(value: Any) -> web.Response:
    """A JSON answer that keeps decimals exact."""
    return web.Response(body=encode(value), content_type="application/json")


class Validators(msgspec.Struct, forbid_unknown_fields=True):
    """What answers are validated by."""

    mode: ValidatorMode


def control_routes(behaviour: Behaviour, reset: Callable[[], None]) -> list[web.RouteDef]:
    """Faults, limits, credentials, validators, arrivals and reset; `reset` is the application's own part of it."""

    async def set_faults(request: web.Request) -> web.Response:
        behaviour.faults.set(*await body_of(request, list[FaultRule]))
        return json_of({"ok": True})

    async def get_faults(_request: web.Request) -> web.Response:
        return json_of([{"rule": rule, "hits": hits} for rule, hits in behaviour.faults.hits()])

    async def set_limits(request: web.Request) -> web.Response:
        behaviour.limits = await body_of(request, Limits)
        return json_of({"ok": True})

    async def set_auth(request: web.Request) -> web.Response:
        behaviour.auth = await body_of(request, Auth)
        return json_of({"ok": True})

    async def set_validators(request: web.Request) -> web.Response:
        behaviour.validators = (await body_of(request, Validators)).mode
        return json_of({"ok": True})

    async def arrivals(request: web.Request) -> web.Response:
        try:
            seconds = float(request.query.get("window", "60"))
        except ValueError:
            raise web.HTTPBadRequest(text="window is a number of seconds") from None
        log = behaviour.log
        return json_of(
            {
                "arrivals": [asdict(arrival) for arrival in log.arrivals],
                "worst_window": log.worst_window(seconds, request.query.get("account")),
                "max_in_flight": log.max_in_flight,
            }
        )

    async def reset_all(_request: web.Request) -> web.Response:
        behaviour.reset()
        reset()
        return json_of({"ok": True})

    return [
        web.post(f"{CONTROL}faults", set_faults),
        web.get(f"{CONTROL}faults", get_faults),
        web.post(f"{CONTROL}limits", set_limits),
        web.post(f"{CONTROL}auth", set_auth),
        web.post(f"{CONTROL}validators", set_validators),
        web.get(f"{CONTROL}arrivals", arrivals),
        web.post(f"{CONTROL}reset", reset_all),
    ]
