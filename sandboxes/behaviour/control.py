"""The switches over HTTP, for tests that drive a sandbox in another process."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from sandboxes.behaviour.auth import Auth
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.limits import Limits
from sandboxes.behaviour.server import CONTROL, Behaviour
from sandboxes.behaviour.validators import ValidatorMode
from sandboxes.data.documents import decode, encode

_Body = TypeVar("_Body")
_Result = TypeVar("_Result")
_Rule = TypeVar("_Rule")


class Rules(Protocol[_Rule]):
    """Faults that a test sets, and how often each struck."""

    def set(self, *rules: _Rule) -> None: ...

    def hits(self) -> list[tuple[_Rule, int]]: ...


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


def fields_of(raw: msgspec.Raw, name: str = "fields") -> dict[str, Any]:
    """An object with exact decimals; 400 for anything else, by the member's name."""
    fields = decode(bytes(raw))
    if not isinstance(fields, dict):
        raise web.HTTPBadRequest(text=f"{name}: an object is needed")
    return fields


def window_of(request: web.Request) -> float:
    """Seconds, a minute by default; 400 for what is no number."""
    try:
        return float(request.query.get("window", "60"))
    except ValueError:
        raise web.HTTPBadRequest(text="window is a number of seconds") from None


def attempt(change: Callable[[], _Result], *refusals: type[Exception]) -> _Result:
    """What a change gives; 404 for what there is not (KeyError), 400 for what is refused."""
    refused: tuple[type[Exception], ...] = (ValueError, *refusals)
    try:
        return change()
    except KeyError as error:
        raise web.HTTPNotFound(text=f"there is no {error}") from None
    except refused as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def rule_routes(name: str, rules: Rules[_Rule], shape: type[_Rule]) -> list[web.RouteDef]:
    """Set the rules, and read them with their hits."""

    async def set_rules(request: web.Request) -> web.Response:
        rules.set(*await body_of(request, list[shape]))  # type: ignore[valid-type] # a type at run time
        return json_of({"ok": True})

    async def get_rules(_request: web.Request) -> web.Response:
        return json_of([{"rule": rule, "hits": hits} for rule, hits in rules.hits()])

    return [web.post(f"{CONTROL}{name}", set_rules), web.get(f"{CONTROL}{name}", get_rules)]


def control_routes(behaviour: Behaviour, reset: Callable[[], None]) -> list[web.RouteDef]:
    """Faults, limits, credentials, validators, arrivals and reset; `reset` is the application's own part of it."""

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
        seconds, log = window_of(request), behaviour.log
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
        *rule_routes("faults", behaviour.faults, FaultRule),
        web.post(f"{CONTROL}limits", set_limits),
        web.post(f"{CONTROL}auth", set_auth),
        web.post(f"{CONTROL}validators", set_validators),
        web.get(f"{CONTROL}arrivals", arrivals),
        web.post(f"{CONTROL}reset", reset_all),
    ]
