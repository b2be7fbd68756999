"""Boxes for those who both write and read: webhook signing secrets, cached bodies.

Each box derives a key of its own from a random salt, so one key may close any number of boxes (plain AES-GCM with
random nonces must stop after 2^32).
"""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import SealError
from shared.sealing.boxes import NONCE_BYTES, hkdf, length_prefixed
from shared.sealing.keyring import KeyRing
from shared.sealing.keytext import NamedKey, format_keys, parse_keys

WEBHOOK_SETTING = "HEADRACE_WEBHOOK_KEYS"

_LABEL = b"headrace/symmetric-box"
_NARROWED = b"headrace/symmetric-box/narrowed"
_VERSION = 1
_SALT_BYTES = 16
_HINT = "Make the secret anew; a cached body is fetched again by itself."


class SymmetricBox:
    """Seals with the first key, opens with any. `context`: words that say where the content belongs, in order.

    Layout of the bytes: version (1), length of kid (1), kid, salt (16), nonce (12), ciphertext with tag.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[NamedKey, ...]) -> None:
        self._keys = keys

    @classmethod
    def parse(cls, text: str | None, *, setting: str = WEBHOOK_SETTING) -> "SymmetricBox":
        """From HEADRACE_WEBHOOK_KEYS. Raises StartupError naming the setting."""
        return cls(parse_keys(setting, text))

    def seal(self, plaintext: bytes, context: tuple[str, ...]) -> bytes:
        """`plaintext` closed under the current key, for this context alone."""
        current = self._keys[0]
        kid, salt, nonce = current.kid.encode(), os.urandom(_SALT_BYTES), os.urandom(NONCE_BYTES)
        header = bytes([_VERSION, len(kid)]) + kid + salt + nonce
        return header + _cipher(current, salt).encrypt(nonce, plaintext, _associated(current.kid, context))

    def open(self, sealed: bytes, context: tuple[str, ...]) -> bytes:
        """The plaintext. Raises SealError: unknown key, altered, cut, or another context."""
        kid_end = 2 + sealed[1] if len(sealed) > 1 else 0
        body = kid_end + _SALT_BYTES + NONCE_BYTES
        if not kid_end or sealed[0] != _VERSION or len(sealed) < body:
            raise SealError("Sealed data is not in a form this version reads.", hint=_HINT)
        key = next((key for key in self._keys if key.kid.encode() == sealed[2:kid_end]), None)
        if key is None:
            raise SealError("Sealed data is under a key that is not in use any more.", hint=_HINT)
        salt, nonce = sealed[kid_end : kid_end + _SALT_BYTES], sealed[kid_end + _SALT_BYTES : body]
        try:
            return _cipher(key, salt).decrypt(nonce, sealed[body:], _associated(key.kid, context))
        except InvalidTag:
            raise SealError("Sealed data was altered or belongs elsewhere.", hint=_HINT) from None

    def narrowed(self, secret: bytes) -> "SymmetricBox":
        """Boxes that open with these keys and `secret` together: who forgets the secret forgets what they hold."""
        return SymmetricBox(
            tuple(NamedKey(key.kid, hkdf(key.material, salt=secret, info=_NARROWED)) for key in self._keys)
        )

    def seal_text(self, plaintext: bytes, context: tuple[str, ...]) -> str:
        """As `seal`, in base64, for a text or JSONB column."""
        return base64.b64encode(self.seal(plaintext, context)).decode()

    def open_text(self, sealed: str, context: tuple[str, ...]) -> bytes:
        """As `open`, for what `seal_text` gave."""
        try:
            raw = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            raise SealError("Sealed data is not in a form this version reads.", hint=_HINT) from None
        return self.open(raw, context)

    @property
    def current_kid(self) -> str:
        """The key that new boxes are sealed under."""
        return self._keys[0].kid

    def to_text(self) -> str:
        """The text form for HEADRACE_WEBHOOK_KEYS. Secret."""
        return format_keys(self._keys)

    def __repr__(self) -> str:
        return f"SymmetricBox({', '.join(key.kid for key in self._keys)})"


def kid_of_text(sealed: str) -> str:
    """The name of the key that `seal_text` used; empty for what is no box."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        return raw[2 : 2 + raw[1]].decode() if raw[0] == _VERSION else ""
    except (binascii.Error, ValueError, IndexError):
        return ""


def derive_webhook_keys(ring: KeyRing) -> SymmetricBox:
    """The webhook keys of a deployment that names none. They cannot be turned back into the ring's keys."""
    return SymmetricBox(ring.derive("webhook/v1"))


def derive_cache_keys(ring: KeyRing) -> SymmetricBox:
    """The keys of cached vendor bodies; after a rotation old bodies still open until they expire."""
    return SymmetricBox(ring.derive("cache/v1"))


def _cipher(key: NamedKey, salt: bytes) -> AESGCM:
    return AESGCM(hkdf(key.material, salt=salt, info=length_prefixed([_LABEL, bytes([_VERSION]), key.kid.encode()])))


def _associated(kid: str, context: tuple[str, ...]) -> bytes:
    return length_prefixed([_LABEL, bytes([_VERSION]), kid.encode(), *(word.encode() for word in context)])
