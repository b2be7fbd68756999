"""Each route of the application under every proof of identity that is none: refused, and nothing changed."""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_harness import SECRET, Gateway, running_gateway, token
from route_table import Routes
from tenants import Tenant, dump, furnished
from test_gateway_jwks import EC_KEY, OTHER_EC_KEY, RSA_KEY, KeySet, published, signed

from services.gateway.jwts import JwksTokenVerifier, SecretTokenVerifier
from shared.clock import SystemClock

PUBLIC = {
    "GET /", "GET /docs", "GET /healthz", "GET /readyz", "GET /openapi.json", "HEAD /openapi.json",
    "DELETE /api/session",
}  # fmt: skip
"""Pages for everybody, which hold no tenant's data, and signing out, which only tells the browser to forget its cookie.
All that is not named here must refuse the unknown caller."""
STRANGERS_KEY = rsa.generate_private_key(65537, 2048)
Headers = Mapping[str, str]


def claims(user_id: UUID, **changed: Any) -> dict[str, Any]:
    plain: dict[str, Any] = jwt.decode(token(user_id, **changed), options={"verify_signature": False})
    return plain


def forged(
    header: Mapping[str, Any], payload: Mapping[str, Any], key: bytes | None, digest: Any = hashlib.sha256
) -> str:
    """A token as no library would make it: HMAC under any bytes, or none at all."""
    parts = [_segment(json.dumps(each).encode()) for each in (header, payload)]
    signature = hmac.new(key, ".".join(parts).encode(), digest).digest() if key is not None else b""
    return ".".join([*parts, _segment(signature)])


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def bearer(text: str) -> Headers:
    return {"Authorization": f"Bearer {text}"}


def no_proofs(user: UUID) -> dict[str, Headers]:
    """What looks like the victim's sign-in under a shared secret, and is not."""
    good, now = token(user), int(time.time())
    head, payload, signature = good.split(".")
    unsigned = _segment(b'{"alg":"none"}')
    return {
        "nothing": {},
        "an empty token": bearer(""),
        "expired": bearer(token(user, exp=now - 60)),
        "without an end": bearer(token(user, exp=None)),
        "not valid yet": bearer(token(user, nbf=now + 600)),
        "another audience": bearer(token(user, aud="somebody-else")),
        "no audience": bearer(token(user, aud=None)),
        "service_role": bearer(token(user, role="service_role")),
        "service_role as an administrator": bearer(
            token(user, role="service_role", app_metadata={"headrace_role": "admin"})
        ),
        "anon": bearer(token(user, role="anon")),
        "a role of Postgres": bearer(token(user, role="headrace_gateway")),
        "several roles": bearer(token(user, role=["authenticated"])),
        "no role": bearer(token(user, role=None)),
        "HS512": bearer(token(user, algorithm="HS512")),
        "none": bearer(token(user, algorithm="none")),
        "nOnE": bearer(forged({"alg": "nOnE", "typ": "JWT"}, claims(user), None)),
        "none with the signature of another": bearer(f"{unsigned}.{payload}.{signature}"),
        "no signature": bearer(f"{head}.{payload}."),
        "an empty secret": bearer(forged({"alg": "HS256"}, claims(user), b"")),
        "another secret": bearer(token(user, secret="another secret, as long as HS256 wants its secrets")),
        "its own key in the header": bearer(
            jwt.encode(
                claims(user),
                STRANGERS_KEY,
                "RS256",
                {"jwk": jwt.algorithms.RSAAlgorithm.to_jwk(STRANGERS_KEY.public_key(), as_dict=True)},
            )
        ),
        "another payload": bearer(f"{head}.{_segment(json.dumps(claims(user)).encode())}.{_segment(bytes(32))}"),
        "a good one, but not as a bearer": {"Authorization": f"Token {good}"},
        "a good one in places that nobody reads": {"apikey": good, "Cookie": f"access_token={good}", "X-Token": good},
        "a user named by a header": {"X-User-Id": str(user), "X-Forwarded-User": str(user), "X-Role": "service_role"},
        "an API token that nobody made": bearer(f"headrace_{'a' * 12}_{'b' * 43}"),
        "half an API token": bearer("headrace_"),
    }


def no_proofs_of_a_key_set(user: UUID) -> dict[str, Headers]:
    """The same under a published key set: what everybody can read must not become a secret."""
    public = RSA_KEY.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    document = json.dumps(published(RSA_KEY, "two")).encode()
    mine = claims(user)

    def hmac_under(key: bytes, algorithm: str = "HS256", kid: str = "two", digest: Any = hashlib.sha256) -> Headers:
        return bearer(forged({"alg": algorithm, "typ": "JWT", "kid": kid}, mine, key, digest))

    return {
        "the public key's text as a secret": hmac_under(pem),
        "the same without the last line break": hmac_under(pem.strip()),
        "the public key's bytes as a secret": hmac_under(der),
        "the published key as a secret": hmac_under(document),
        "the public key as a secret of HS512": hmac_under(pem, "HS512", digest=hashlib.sha512),
        "HMAC that calls itself RS256": hmac_under(pem, "RS256"),
        "an empty secret under a path for a key": hmac_under(b"", kid="../../../../dev/null"),
        "none": bearer(forged({"alg": "none", "kid": "one"}, mine, None)),
        "another key of the same name": bearer(jwt.encode(mine, OTHER_EC_KEY, "ES256", {"kid": "one"})),
        "a good key under the other's name": bearer(jwt.encode(mine, EC_KEY, "ES256", {"kid": "two"})),
        "another algorithm of a good key": bearer(jwt.encode(mine, RSA_KEY, "PS256", {"kid": "two"})),
        "a key set of its own": bearer(
            jwt.encode(mine, STRANGERS_KEY, "RS256", {"kid": "mine", "jku": "http://127.0.0.1:9/jwks.json"})
        ),
        "service_role": bearer(jwt.encode(claims(user, role="service_role"), EC_KEY, "ES256", {"kid": "one"})),
        "expired": bearer(jwt.encode(claims(user, exp=1), EC_KEY, "ES256", {"kid": "one"})),
        "another audience": bearer(jwt.encode(claims(user, aud="x"), EC_KEY, "ES256", {"kid": "one"})),
    }


async def refused_everywhere(gateway: Gateway, victim: Tenant, proofs: Mapping[str, Headers]) -> int:
    """How many requests were made; each was refused, told nothing and changed nothing."""
    table = Routes(gateway.deps)
    before = await dump(gateway.admin, victim.user)
    wrong: list[tuple[str, str, int]] = []
    asked = 0
    for route in table.all:
        if str(route) in PUBLIC:
            continue
        request = table.requests(route, victim.ids)[0]
        for name, headers in proofs.items():
            answer = await gateway.call(route.method, request.path, request.body, headers)
            asked += 1
            fits = answer.status == 401 if route.below_api else not 200 <= answer.status < 300
            if not fits or answer.status >= 500 or victim.seen_in(answer.text + str(answer.headers)):
                wrong.append((name, str(route), answer.status))
    assert wrong == []
    assert await dump(gateway.admin, victim.user) == before
    return asked


async def test_no_route_answers_whom_a_shared_secret_does_not_prove(database_url: str) -> None:
    async with running_gateway(database_url) as gateway, furnished(gateway, database_url) as (victim, _):
        proofs = no_proofs(victim.user.id) | await dead_api_tokens(gateway, victim)
        assert (await victim.user.get("/api/sources")).status == 200  # the same with a proof
        assert await refused_everywhere(gateway, victim, proofs) > 700


async def dead_api_tokens(gateway: Gateway, victim: Tenant) -> dict[str, Headers]:
    """Revoked, expired, and one with its secret changed."""
    texts = []
    for _ in range(3):
        made = (await victim.user.post("/api/tokens", {"name": "x", "scopes": ["read", "write"]})).body
        texts.append(made["token"])
        if len(texts) == 1:
            await victim.user.call("DELETE", f"/api/tokens/{made['id']}")
        if len(texts) == 2:
            await gateway.admin.execute("update api_tokens set expires_at = now() where id = $1", UUID(made["id"]))
    flipped = texts[2][:-1] + ("A" if texts[2][-1] != "A" else "B")
    names = ("a revoked API token", "an expired API token", "an API token with another secret")
    return dict(zip(names, map(bearer, (texts[0], texts[1], flipped)), strict=True))


async def test_no_route_answers_whom_a_key_set_does_not_prove(database_url: str) -> None:
    key_set = KeySet(published(EC_KEY, "one"), published(RSA_KEY, "two", alg="RS256"))
    verifier = SwitchingVerifier(key_set)
    async with running_gateway(database_url, jwts=verifier) as gateway, furnished(gateway, database_url) as (victim, _):
        verifier.switched = True
        for text in (signed(EC_KEY, "one", "ES256"), signed(RSA_KEY, "two", "RS256")):
            assert (await gateway.call("GET", "/api/sources", None, bearer(text))).status == 200
        assert await refused_everywhere(gateway, victim, no_proofs_of_a_key_set(victim.user.id)) > 400


class SwitchingVerifier:
    """The shared secret while the tenants move in, the key set afterwards."""

    def __init__(self, key_set: KeySet) -> None:
        self._secret = SecretTokenVerifier(SECRET, "authenticated")
        self._keys = JwksTokenVerifier(key_set, "authenticated", SystemClock())
        self.switched = False

    async def verify(self, token: str) -> Any:
        return await (self._keys if self.switched else self._secret).verify(token)


SPELLINGS = [
    "/api/sources",
    "/api//sources",
    "//api/sources",
    "/%61pi/sources",
    "/api%2fsources",
    "/API/sources",
    "/api/./sources",
    "/x/../api/sources",
    "/api/sources/",
    "/api/sources?access_token={good}",
    "/api/sources;a=b",
    "/api/sources%00",
    "/healthz/../api/sources",
    "/healthz%2f..%2fapi%2fsources",
    "http://127.0.0.1/api/sources",
    "/\\api/sources",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "get", "TRACE", "PROPFIND"])
async def test_no_spelling_of_a_path_or_method_passes_the_door(gateway: Gateway, method: str) -> None:
    good = token(uuid4())
    for spelling in SPELLINGS:
        path = spelling.replace("{good}", good)
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-HTTP-Method-Override: GET\r\n\r\n"
        status = await asyncio.to_thread(_raw, gateway.url, request.encode())
        assert 400 <= status < 500, (method, spelling, status)


def _raw(url: str, request: bytes) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.connect()
        connection.sock.sendall(request)
        response = http.client.HTTPResponse(connection.sock)
        response.begin()
        return response.status
    finally:
        connection.close()
