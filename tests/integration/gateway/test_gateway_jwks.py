"""Tokens of a published key set: which keys count, how they are looked for, and what no trick changes."""

import asyncio
import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway_harness import SECRET, running_gateway, token
from jwt.warnings import InsecureKeyLengthWarning

from sandboxes.serving import running
from services.gateway.identity import UnauthenticatedError
from services.gateway.jwts import EitherTokenVerifier, JwksTokenVerifier, SecretTokenVerifier
from services.gateway.key_set import KeySetFetcher
from shared.clock import ManualClock, SystemClock
from shared.errors import PlatformAwayError, UnavailableError

EC_KEY, OTHER_EC_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
RSA_KEY, SHORT_RSA_KEY = (rsa.generate_private_key(65537, bits) for bits in (2048, 1024))


def published(key: Any, kid: str, **members: Any) -> dict[str, Any]:
    elliptic = isinstance(key, ec.EllipticCurvePrivateKey)
    kind = jwt.algorithms.ECAlgorithm if elliptic else jwt.algorithms.RSAAlgorithm
    document: dict[str, Any] = json.loads(kind.to_jwk(key.public_key()))
    return {**document, "kid": kid, "use": "sig"} | members


def signed(key: Any, kid: str | None, algorithm: str, **claims: Any) -> str:
    plain = jwt.decode(token(uuid4(), **claims), options={"verify_signature": False})
    with warnings.catch_warnings(action="ignore", category=InsecureKeyLengthWarning):  # one of the tricks
        return jwt.encode(plain, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


class KeySet:
    """A key set that can change and fail; counts how often it was asked."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.away = False
        self.was_asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        self.was_asked.set()
        await self.answers.wait()
        if self.away:
            raise UnavailableError("the sign-in is away")
        return {"keys": self.keys}


@asynccontextmanager
async def served(key_set: KeySet) -> AsyncIterator[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(await key_set())

    app = web.Application()
    app.router.add_get("/jwks.json", answer)
    async with running(app) as base:
        yield f"{base}/jwks.json"


async def test_people_sign_in_with_keys_of_the_set(database_url: str) -> None:
    key_set = KeySet(published(EC_KEY, "one"), published(RSA_KEY, "two", alg="RS256"))
    async with served(key_set) as url:
        verifier = JwksTokenVerifier(KeySetFetcher(url, SystemClock()), "authenticated", SystemClock())
        async with running_gateway(database_url, jwts=verifier) as gateway:
            for text in (signed(EC_KEY, "one", "ES256"), signed(RSA_KEY, "two", "RS256")):
                answer = await gateway.call("GET", "/api/sources", None, {"Authorization": f"Bearer {text}"})
                assert answer.status == 200, answer.text
            wrong = signed(OTHER_EC_KEY, "one", "ES256")
            answer = await gateway.call("GET", "/api/sources", None, {"Authorization": f"Bearer {wrong}"})
            assert answer.status == 401
    assert key_set.asked == 1


@pytest.mark.parametrize(
    "text",
    [
        signed(OTHER_EC_KEY, "one", "ES256"),
        signed(EC_KEY, "nobody", "ES256"),
        signed(EC_KEY, None, "ES256"),
        signed(SHORT_RSA_KEY, "short", "RS256"),
        signed(RSA_KEY, "two", "PS256"),
        signed(RSA_KEY, "encryption", "RS256"),
        # the old trick: the public key, which everybody knows, as the secret of HS256
        jwt.encode({"sub": str(uuid4())}, "the public key's text is no secret at all", "HS256", {"kid": "two"}),
        jwt.encode({"sub": str(uuid4()), "role": "authenticated"}, None, "none", {"kid": "one"}),
        signed(EC_KEY, "one", "ES256", role="service_role"),
        signed(EC_KEY, "one", "ES256", aud="another"),
        signed(EC_KEY, "one", "ES256", exp=1),
        "no.token.at-all",
    ],
    ids=lambda _text: "token",  # signed anew in each process: no name for a test
)
async def test_what_no_key_of_the_set_proves_is_refused(text: str) -> None:
    key_set = KeySet(
        published(EC_KEY, "one"),
        published(RSA_KEY, "two"),
        published(SHORT_RSA_KEY, "short"),
        published(RSA_KEY, "encryption", use="enc"),
        {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
        "nonsense",  # type: ignore[arg-type]
    )
    verifier = JwksTokenVerifier(key_set, "authenticated", ManualClock())
    with pytest.raises(UnauthenticatedError):
        await verifier.verify(text)


async def test_a_rotated_key_is_found_and_unknown_ones_do_not_hammer_the_address() -> None:
    clock, key_set = ManualClock(), KeySet(published(EC_KEY, "old"))
    verifier = JwksTokenVerifier(key_set, "authenticated", clock)
    await verifier.verify(signed(EC_KEY, "old", "ES256"))
    key_set.keys = [published(OTHER_EC_KEY, "new")]
    await verifier.verify(signed(OTHER_EC_KEY, "new", "ES256"))  # at once, though the set was just fetched
    for _ in range(20):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(signed(EC_KEY, "old", "ES256"))
    assert key_set.asked == 3, "asked again before its pause was over"

    key_set.keys = [published(EC_KEY, "newest")]
    clock.advance(31)
    await verifier.verify(signed(EC_KEY, "newest", "ES256"))
    for _ in range(20):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(signed(OTHER_EC_KEY, "new", "ES256"))
    assert key_set.asked == 4


async def test_a_secret_and_keys_side_by_side_prove_each_its_own() -> None:
    by_key = JwksTokenVerifier(
        KeySet(published(EC_KEY, "one"), published(RSA_KEY, "two")), "authenticated", ManualClock()
    )
    verifier = EitherTokenVerifier(SecretTokenVerifier(SECRET, "authenticated"), by_key)
    await verifier.verify(token(uuid4()))
    await verifier.verify(signed(EC_KEY, "one", "ES256"))
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = _forged("HS256", "two", pem)
    for text in (
        forged,
        token(uuid4(), secret=SECRET + "!"),
        token(uuid4(), algorithm="HS512"),
        token(uuid4(), algorithm="none"),
        signed(OTHER_EC_KEY, "one", "ES256"),
        signed(EC_KEY, None, "ES256"),
        "",
        "a.b.c",
    ):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(text)


def _forged(algorithm: str, kid: str, secret: bytes) -> str:
    """Signed with what is public: the library refuses to make it, so it is made by hand."""
    claims = jwt.decode(token(uuid4()), options={"verify_signature": False})
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": kid, "typ": "JWT"}, claims)]
    head = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.new(secret, head, hashlib.sha256).digest()).rstrip(b"=")
    return (head + b"." + signature).decode()


async def test_an_outage_of_the_address_does_not_sign_people_out() -> None:
    clock, key_set = ManualClock(), KeySet(published(EC_KEY, "one"))
    verifier = JwksTokenVerifier(key_set, "authenticated", clock)
    await verifier.verify(signed(EC_KEY, "one", "ES256"))
    key_set.away = True
    clock.advance(3_600)
    await verifier.verify(signed(EC_KEY, "one", "ES256"))
    assert key_set.asked == 2


async def test_a_key_at_hand_does_not_wait_for_an_address_that_hangs() -> None:
    clock, key_set = ManualClock(), KeySet(published(EC_KEY, "one"))
    verifier = JwksTokenVerifier(key_set, "authenticated", clock, patience=0.01)
    text = signed(EC_KEY, "one", "ES256")
    await verifier.verify(text)
    key_set.answers.clear()
    key_set.away = True
    clock.advance(601)
    async with asyncio.timeout(10):  # nobody sets the event
        await asyncio.gather(*(verifier.verify(text) for _ in range(5)))
        unknown = asyncio.create_task(verifier.verify(signed(EC_KEY, "nobody", "ES256")))
        await verifier.verify(text)
    assert key_set.asked == 2, "one fetch is under way, whoever waits for it"

    key_set.answers.set()
    with pytest.raises(UnauthenticatedError):
        await unknown
    for _ in range(5):
        await verifier.verify(text)
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(signed(EC_KEY, "nobody", "ES256"))
    assert key_set.asked == 2, "a fetch that failed is not followed by others at once"
    clock.advance(31)
    key_set.away = False
    key_set.keys = [published(OTHER_EC_KEY, "two")]
    await verifier.verify(signed(OTHER_EC_KEY, "two", "ES256"))
    assert key_set.asked == 3


async def test_those_who_look_for_a_key_share_one_fetch_that_fails() -> None:
    key_set = KeySet()
    key_set.away = True
    verifier = JwksTokenVerifier(key_set, "authenticated", ManualClock())
    text = signed(EC_KEY, "one", "ES256")
    found = await asyncio.gather(*(verifier.verify(text) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in found] == [PlatformAwayError] * 5
    assert key_set.asked == 1


async def test_a_fetch_outlives_the_caller_who_began_it() -> None:
    key_set = KeySet(published(EC_KEY, "one"))
    key_set.answers.clear()
    verifier = JwksTokenVerifier(key_set, "authenticated", ManualClock())
    first, second = (asyncio.create_task(verifier.verify(signed(EC_KEY, "one", "ES256"))) for _ in range(2))
    await key_set.was_asked.wait()
    first.cancel()
    key_set.answers.set()
    await second
    assert (key_set.asked, first.cancelled()) == (1, True)


async def test_a_set_without_usable_keys_signs_nobody_out_and_nobody_in() -> None:
    clock, key_set = ManualClock(), KeySet(published(EC_KEY, "one"))
    verifier = JwksTokenVerifier(key_set, "authenticated", clock)
    await verifier.verify(signed(EC_KEY, "one", "ES256"))
    key_set.keys = [published(SHORT_RSA_KEY, "short")]
    clock.advance(601)
    await verifier.verify(signed(EC_KEY, "one", "ES256"))
    assert key_set.asked == 2
    clock.advance(31)
    key_set.keys = [published(OTHER_EC_KEY, "two")]
    await verifier.verify(signed(OTHER_EC_KEY, "two", "ES256"))

    empty = JwksTokenVerifier(KeySet(), "authenticated", clock)
    with pytest.raises(UnauthenticatedError):  # it was read: the token is what is wrong
        await empty.verify(signed(EC_KEY, "one", "ES256"))


async def test_without_any_keys_nobody_can_tell(database_url: str) -> None:
    key_set = KeySet()
    key_set.away = True
    verifier = JwksTokenVerifier(key_set, "authenticated", SystemClock())
    with pytest.raises(PlatformAwayError):
        await verifier.verify(signed(EC_KEY, "one", "ES256"))
    async with running_gateway(database_url, jwts=verifier) as gateway:
        headers = {"Authorization": f"Bearer {signed(EC_KEY, 'one', 'ES256')}"}
        answer = await gateway.call("GET", "/api/sources", None, headers)
        assert answer.status == 503
        assert answer.headers["retry-after"]
