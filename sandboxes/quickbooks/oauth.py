"""Sign-in over HTTP: the consent page, the token and revocation endpoints, and the document that names them."""

import asyncio
import base64
import binascii
import html
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from aiohttp import web

from sandboxes.behaviour.control import json_of
from sandboxes.quickbooks.exchanges import Exchange, ExchangeLog
from sandboxes.quickbooks.faults import ExchangeFault, Rules
from sandboxes.quickbooks.tokens import SCOPE, App, Grant, TokenError, Tokens
from sandboxes.quickbooks.wire import page

EXCHANGE = web.RequestKey("exchange", Exchange)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HARD_EXPIRY = "x_refresh_token_hard_expires_in"


class _Revocation(msgspec.Struct):
    token: str


class SignIn:
    """The endpoints around one set of tokens."""

    def __init__(self, tokens: Tokens, companies: Callable[[], dict[str, str]], steady: Callable[[], float]) -> None:
        self._tokens = tokens
        self._companies = companies
        """The companies that the user may connect: realm id to name."""
        self.log = ExchangeLog(steady)
        self.faults: Rules[ExchangeFault] = Rules()
        self.gate = asyncio.Event()
        """Set it to release the exchanges that a `hold` keeps; clear it to keep later ones."""
        self._running: set[asyncio.Task[web.Response]] = set()

    def routes(self) -> list[web.RouteDef]:
        """All paths of the sign-in; on the vendor's side they are spread over several hosts."""
        names = ("openid_configuration", "openid_sandbox_configuration")
        return [
            web.get("/connect/oauth2", self.ask),
            web.post("/connect/oauth2", self.decide),
            web.post("/oauth2/v1/tokens/bearer", self.exchange),
            web.post("/v2/oauth2/tokens/revoke", self.exchange),
            web.get("/op/v1/jwks", self.keys),
            web.get("/v1/openid_connect/userinfo", self.user),
            *(web.get(f"/.well-known/{name}{end}", self.discovery) for name in names for end in ("", "/")),
        ]

    async def discovery(self, request: web.Request) -> web.Response:
        """Where everything is; scopes are those of sign-in alone, as at the vendor's."""
        here = f"{request.scheme}://{request.host}"
        return json_of(
            {
                "issuer": f"{here}/op/v1",
                "authorization_endpoint": f"{here}/connect/oauth2",
                "token_endpoint": f"{here}/oauth2/v1/tokens/bearer",
                "userinfo_endpoint": f"{here}/v1/openid_connect/userinfo",
                "revocation_endpoint": f"{here}/v2/oauth2/tokens/revoke",
                "jwks_uri": f"{here}/op/v1/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid", "email", "profile", "address", "phone"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            }
        )

    async def keys(self, _request: web.Request) -> web.Response:
        """No keys: `openid` is not served, so there is no id token to check."""
        return json_of({"keys": []})

    async def user(self, _request: web.Request) -> web.Response:
        """A token without `openid` learns nothing here."""
        return web.json_response({"error": "invalid_token"}, status=401)

    async def ask(self, request: web.Request) -> web.Response:
        """The consent page."""
        asked = dict(request.query)
        if (problem := self._problem(asked)) is not None:
            return _sorry(problem)
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(asked[name])}">'
            for name in ("client_id", "response_type", "scope", "redirect_uri", "state")
        )
        choices = "".join(
            f'<option value="{html.escape(realm)}">{html.escape(name)}</option>'
            for realm, name in self._companies().items()
        )
        text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Connect a company</title></head><body>'
            f"<h1>Connect to {html.escape(asked['client_id'])}?</h1>"
            f'<form method="post" action="/connect/oauth2">{hidden}'
            f'<label>Company <select name="realm">{choices}</select></label>'
            '<button name="decision" value="connect">Connect</button>'
            '<button name="decision" value="cancel">Cancel</button></form></body></html>'
        )
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    async def decide(self, request: web.Request) -> web.Response:
        """Send the user back with a code, or with the refusal."""
        asked = {name: str(value) for name, value in (await request.post()).items()}
        if (problem := self._problem(asked)) is not None:
            return _sorry(problem)
        if asked.get("decision") != "connect":
            return _back(asked["redirect_uri"], {"error": "access_denied", "state": asked["state"]})
        realm = asked.get("realm", "")
        if realm not in self._companies():
            return _sorry("You have no such company.")
        code = self._tokens.code(self._tokens.apps[asked["client_id"]], realm, asked["redirect_uri"])
        return _back(asked["redirect_uri"], {"code": code, "state": asked["state"], "realmId": realm})

    def _problem(self, asked: dict[str, str]) -> str | None:
        """What is wrong with the request; such a request is never redirected, its address may be anybody's."""
        for name in ("client_id", "response_type", "scope", "redirect_uri", "state"):
            if not asked.get(name):
                return f"The {name} query parameter is missing from the authorization request."
        app = self._tokens.apps.get(asked["client_id"])
        if app is None:
            return "The client_id query parameter is invalid."
        if not _registered(app, asked["redirect_uri"]):
            return "The redirect_uri query parameter value is invalid."
        if asked["response_type"] != "code":
            return "The response_type query parameter is invalid."
        if asked["scope"].split() != [SCOPE]:
            return f"The scope query parameter is invalid: this server knows {SCOPE} alone."
        return None

    async def exchange(self, request: web.Request) -> web.Response:
        """Both endpoints that change tokens. The change happens even when the caller goes away, as at the vendor's."""
        entry = request[EXCHANGE] = self.log.enter()
        body = await request.read()
        entry.working = True
        task = asyncio.create_task(self._exchange(request, body, entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda _task: self.log.work_done(entry))
        return await asyncio.shield(task)

    async def close(self, _app: web.Application) -> None:
        """End the exchanges whose callers went away."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _exchange(self, request: web.Request, body: bytes, entry: Exchange) -> web.Response:
        revoke = request.path.endswith("/revoke")
        form = {} if revoke else _form(body)
        entry.grant_type = "revoke" if revoke else form.get("grant_type", "")
        grant = None if revoke else self._tokens.owner(form.get("refresh_token", ""))
        if grant is not None:
            entry.grant, entry.shown = grant.number, grant.values[form["refresh_token"]].generation
            grant.in_flight += 1
        try:
            struck = self.faults.all(lambda rule: rule.grant_type in (None, entry.grant_type))
            response = await self._spoil(request, [rule for rule in struck if rule.when == "before"])
            if response is None:
                response = self._answer(request, form, body, entry)
                spoiled = await self._spoil(request, [rule for rule in struck if rule.when == "after"])
                return spoiled or response
            entry.outcome = "fault"
            return response
        finally:
            if grant is not None:
                grant.in_flight -= 1

    def _answer(self, request: web.Request, form: dict[str, str], body: bytes, entry: Exchange) -> web.Response:
        try:
            app = self._app(request, form)
            entry.client_id = app.client_id
            if entry.grant_type == "revoke":
                entry.grant, entry.outcome = self._revoke(app, body).number, "ok"
                return web.Response()
            grant, reply = self._grant(app, form)
        except TokenError as error:
            entry.outcome = error.error
            text = {"error_description": error.description} if error.description else {}
            return web.json_response({"error": error.error, **text}, status=error.status)
        entry.grant, entry.issued, entry.outcome = grant.number, grant.generation, "ok"
        if request.headers.get("x-include-refresh-token-hard-expires-in", "").lower() != "true":
            del reply[_HARD_EXPIRY]
        return web.json_response(reply, headers={"Cache-Control": "no-cache, no-store"})

    def _app(self, request: web.Request, form: dict[str, str]) -> App:
        """The app by its keys in the header, else in the form."""
        if "Authorization" not in request.headers:
            return self._tokens.app(form.get("client_id", ""), form.get("client_secret", ""))
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = secret = ""
        return self._tokens.app(name if scheme.lower() == "basic" else "", secret)

    def _grant(self, app: App, form: dict[str, str]) -> tuple[Grant, dict[str, Any]]:
        match form.get("grant_type"):
            case "authorization_code":
                return self._tokens.redeem(app, form.get("code", ""), form.get("redirect_uri", ""))
            case "refresh_token":
                return self._tokens.refresh(app, form.get("refresh_token", ""))
            case _:
                raise TokenError("unsupported_grant_type")

    def _revoke(self, app: App, body: bytes) -> Grant:
        try:
            order = msgspec.json.decode(body, type=_Revocation)
        except msgspec.DecodeError:
            raise TokenError("invalid_request", "The body is not a token.") from None
        return self._tokens.revoke(app, order.token)

    async def _spoil(self, request: web.Request, rules: list[ExchangeFault]) -> web.Response | None:
        for rule in rules:
            match rule.kind:
                case "delay":
                    await asyncio.sleep(rule.ms / 1000)
                case "hold":
                    await self.gate.wait()
                case "status":
                    return page(rule.status)
                case "drop":
                    if request.transport is not None:
                        request.transport.close()
                    return web.Response(status=500)
        return None


def _form(body: bytes) -> dict[str, str]:
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=20).items()}
    except ValueError:
        return {}


def _registered(app: App, address: str) -> bool:
    if app.redirect_uris:
        return address in app.redirect_uris
    try:
        return urlsplit(address).hostname in _LOOPBACK
    except ValueError:
        return False


def _back(address: str, parameters: dict[str, str]) -> web.Response:
    joint = "&" if urlsplit(address).query else "?"
    return web.Response(status=302, headers={"Location": f"{address}{joint}{urlencode(parameters)}"})


def _sorry(problem: str) -> web.Response:
    text = f"<!doctype html><html><body><h1>Sorry, we could not connect</h1><p>{html.escape(problem)}</p></body></html>"
    return web.Response(text=text, status=400, content_type="text/html", charset="utf-8")
