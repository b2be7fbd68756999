"""Who may call: the ways in which APIs take a credential."""

import base64
import binascii
from typing import Literal

import msgspec
from aiohttp import web


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a caller must show. `secrets` maps each good secret to the account that is billed for its calls."""

    kind: Literal["none", "bearer", "basic", "header", "query"] = "none"
    secrets: dict[str, str] = {}
    """A basic secret is `user:password`."""
    name: str = ""
    """Name of the header (by default `X-Api-Key`) or of the query parameter (`api_key`)."""
    refusal: Literal[401, 403] = 401

    def account(self, request: web.Request) -> str | None:
        """The account that calls; None when the credential is missing or wrong."""
        if self.kind == "none":
            return "anyone"
        shown = self._shown(request)
        return None if shown is None else self.secrets.get(shown)

    def _shown(self, request: web.Request) -> str | None:
        if self.kind == "query":
            return request.query.get(self.name or "api_key")
        if self.kind == "header":
            return request.headers.get(self.name or "X-Api-Key")
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != self.kind:
            return None
        if self.kind == "bearer":
            return value
        try:
            return base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    def refuse(self) -> web.Response:
        """The answer to a caller that is not let in."""
        headers = {"WWW-Authenticate": self.kind.title()} if self.refusal == 401 else {}
        return web.json_response({"error": "invalid credentials"}, status=self.refusal, headers=headers)
