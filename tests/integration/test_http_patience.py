"""A vendor that works on its answer before it sends any of it is waited for, where the call says so."""

import asyncio
import time

import pytest
from aiohttp import web

from sandboxes.serving import running
from shared.clock import SystemClock
from shared.errors import UnavailableError
from shared.http.client import HttpClient, HttpLimits
from shared.http.egress import EgressPolicy
from shared.http.hop import HttpRequest

SILENCE = 0.2


async def _silent_at_first(_: web.Request) -> web.Response:
    await asyncio.sleep(SILENCE * 4)
    return web.Response(text="at last")


@pytest.mark.parametrize(("patience", "answers"), [(None, False), (SILENCE / 2, False), (20.0, True)])
async def test_a_call_is_waited_for_as_long_as_it_says(patience: float | None, answers: bool) -> None:
    app = web.Application()
    app.router.add_get("/", _silent_at_first)
    limits = HttpLimits(read=SILENCE, deadline=30)
    async with (
        running(app) as url,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock(), limits=limits) as http,
    ):
        if answers:
            assert (await http.send(HttpRequest("GET", url, patience=patience))).body == b"at last"
        else:
            with pytest.raises(UnavailableError, match="in time"):
                await http.send(HttpRequest("GET", url, patience=patience))


async def test_patience_does_not_outlast_the_deadline() -> None:
    app = web.Application()
    app.router.add_get("/", _silent_at_first)
    limits = HttpLimits(read=SILENCE, deadline=SILENCE)
    async with (
        running(app) as url,
        HttpClient(EgressPolicy.parse("127.0.0.0/8"), SystemClock(), limits=limits) as http,
    ):
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            await http.send(HttpRequest("GET", url, patience=60))
        assert time.monotonic() - started < SILENCE * 4
