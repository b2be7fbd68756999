"""Sealed boxes: anybody with the public key can close one, only the private key opens it, and only where it belongs.

A box is an ephemeral X25519 agreement, HKDF-SHA256, and AES-256-GCM. Each box has a key of its own, so the limit on
random nonces per key is never near. The derivation binds version, key name and both public keys; the cipher's
associated data binds tenant, source and origins, so that a box copied to another row, or kept while the address that
its content is sent to is changed, does not open.
"""

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.contracts.ids import SourceId, UserId
from shared.errors import SealError

VERSION: Literal[1] = 1
NONCE_BYTES = 12
ENTER_AGAIN = "Enter the credentials again."
"""The only remedy a user has, whatever the reason was."""

_LABEL = b"headrace/sealed-box"
_PUBLIC_BYTES = 32
_FIELDS = frozenset({"v", "kid", "epk", "nonce", "ct"})


class SealedBox(TypedDict):
    """A JSON object for a JSONB column; `epk`, `nonce` and `ct` (ciphertext and tag) are base64."""

    v: int
    kid: str
    epk: str
    nonce: str
    ct: str


@dataclass(frozen=True, slots=True)
class Context:
    """Where a box belongs. `origins` (`https://host[:port]`, any order): where its content may be sent."""

    user_id: UserId
    source_id: SourceId
    origins: tuple[str, ...]

    def canonical(self) -> bytes:
        """The same bytes for the same place, and for no other."""
        origins = sorted({origin.encode() for origin in self.origins})
        return length_prefixed([_LABEL, bytes([VERSION]), self.user_id.bytes, self.source_id.bytes, *origins])


def length_prefixed(parts: Iterable[bytes]) -> bytes:
    """Join parts so that no other list of parts gives the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def hkdf(secret: bytes, *, info: bytes, salt: bytes | None = None) -> bytes:
    """32 bytes derived from `secret` for the one use that `info` names."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def close_box(kid: str, public: X25519PublicKey, plaintext: bytes, context: Context) -> SealedBox:
    """Seal `plaintext` for the holder of the private half of `public`."""
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    key = _box_key(kid, ephemeral.exchange(public), ephemeral_public, public.public_bytes_raw())
    nonce = os.urandom(NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, context.canonical())
    return SealedBox(v=VERSION, kid=kid, epk=_text(ephemeral_public), nonce=_text(nonce), ct=_text(ciphertext))


def open_box(
    box: Mapping[str, object], privates: Mapping[str, X25519PrivateKey], context: Context, *, keys_from: str
) -> bytes:
    """The plaintext. Raises SealError for anything but an untouched box in its own place under a key we hold."""
    if frozenset(box) != _FIELDS or box["v"] != VERSION or isinstance(box["v"], bool):
        raise SealError("The stored credentials are not in a form this version reads.", hint=ENTER_AGAIN)
    private = privates.get(str(box["kid"]))
    if private is None:
        raise SealError(
            "The stored credentials are sealed under a key that is not in use any more.",
            hint=f"{ENTER_AGAIN} Or put the old key back, last, into {keys_from}.",
        )
    ephemeral_public, nonce, ciphertext = _bytes(box["epk"]), _bytes(box["nonce"]), _bytes(box["ct"])
    if len(ephemeral_public) != _PUBLIC_BYTES or len(nonce) != NONCE_BYTES:
        raise _altered()
    try:
        shared_secret = private.exchange(X25519PublicKey.from_public_bytes(ephemeral_public))
        key = _box_key(str(box["kid"]), shared_secret, ephemeral_public, private.public_key().public_bytes_raw())
        return AESGCM(key).decrypt(nonce, ciphertext, context.canonical())
    except (InvalidTag, ValueError):  # ValueError: a public key of low order
        raise _altered() from None


def _box_key(kid: str, shared_secret: bytes, ephemeral_public: bytes, public: bytes) -> bytes:
    info = length_prefixed([_LABEL, bytes([VERSION]), kid.encode(), ephemeral_public, public])
    return hkdf(shared_secret, info=info)


def _altered() -> SealError:
    return SealError(
        "The stored credentials were altered, or belong to another tenant, source or address.", hint=ENTER_AGAIN
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(value: object) -> bytes:
    """Base64 in its one canonical spelling, so that no two texts are the same box."""
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        raise _altered() from None
    if not raw or _text(raw) != value:
        raise _altered()
    return raw
