"""Who may seal and who may open: `SealingKeys` (public halves, the gateway) and `KeyRing` (private, the fetcher)."""

import base64
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from shared.errors import StartupError
from shared.sealing.boxes import Context, SealedBox, close_box, hkdf, open_box
from shared.sealing.keytext import KEY_BYTES, NamedKey, format_keys, is_guessable, parse_keys, require_kid

MASTER_SETTING = "HEADRACE_MASTER_KEYS"
SEAL_SETTING = "HEADRACE_SEAL_KEYS"


def generate_key(kid: str) -> str:
    """A new key as text for HEADRACE_MASTER_KEYS or HEADRACE_WEBHOOK_KEYS. To rotate, put it first in the list."""
    material = os.urandom(KEY_BYTES)
    while is_guessable(material):  # never seen, but a key that we refuse must not come from us
        material = os.urandom(KEY_BYTES)
    return f"{require_kid(kid)}:{base64.b64encode(material).decode()}"


class SealingKeys:
    """Public halves: seals with the first, opens nothing."""

    __slots__ = ("_keys", "_public")

    def __init__(self, keys: tuple[NamedKey, ...], *, setting: str = SEAL_SETTING) -> None:
        self._keys = keys
        self._public = X25519PublicKey.from_public_bytes(keys[0].material)
        try:
            X25519PrivateKey.generate().exchange(self._public)
        except ValueError:  # a point of low order: every box would have the same, known, secret
            raise StartupError(f"{setting} entry 1 is not a public key", hint="See `headrace keys check`.") from None

    @classmethod
    def parse(cls, text: str | None, *, setting: str = SEAL_SETTING) -> "SealingKeys":
        """From HEADRACE_SEAL_KEYS. Raises StartupError naming the setting."""
        return cls(parse_keys(setting, text), setting=setting)

    @property
    def current_kid(self) -> str:
        """The key that new boxes are sealed under."""
        return self._keys[0].kid

    @property
    def halves(self) -> Mapping[str, bytes]:
        """Each key's public half (32 bytes) by name: no secret, and it tells keys of one name apart."""
        return {key.kid: key.material for key in self._keys}

    def seal(self, plaintext: bytes, context: Context) -> SealedBox:
        """A box that only the fetcher opens, and only for this tenant, source and these origins."""
        return close_box(self.current_kid, self._public, plaintext, context)

    def to_text(self) -> str:
        """The text form for HEADRACE_SEAL_KEYS. Public, but who can change it can read what is sealed next."""
        return format_keys(self._keys)

    def __repr__(self) -> str:
        return f"SealingKeys({', '.join(key.kid for key in self._keys)})"


class KeyRing:
    """Private sealing keys, the current first; older ones still open. Never leaves the fetcher."""

    __slots__ = ("_keys", "_privates", "_setting")

    def __init__(self, keys: tuple[NamedKey, ...], *, setting: str = MASTER_SETTING) -> None:
        self._keys = keys
        self._setting = setting
        self._privates: Mapping[str, X25519PrivateKey] = {
            key.kid: X25519PrivateKey.from_private_bytes(key.material) for key in keys
        }

    @classmethod
    def parse(cls, text: str | None, *, setting: str = MASTER_SETTING) -> "KeyRing":
        """From HEADRACE_MASTER_KEYS. Raises StartupError naming the setting."""
        return cls(parse_keys(setting, text), setting=setting)

    @property
    def current_kid(self) -> str:
        """The key that new boxes are sealed under; a box with another `kid` waits to be sealed anew."""
        return self._keys[0].kid

    @property
    def kids(self) -> tuple[str, ...]:
        """All key names, the current first."""
        return tuple(key.kid for key in self._keys)

    def open(self, box: Mapping[str, object], context: Context) -> bytes:
        """The plaintext. Raises SealError: unknown key, altered box, or not this tenant, source and origins."""
        return open_box(box, self._privates, context, keys_from=self._setting)

    def public(self) -> SealingKeys:
        """What the gateway gets."""
        halves = tuple(
            NamedKey(kid, private.public_key().public_bytes_raw()) for kid, private in self._privates.items()
        )
        return SealingKeys(halves)

    def derive(self, purpose: str) -> tuple[NamedKey, ...]:
        """One key per ring key, under the same names and in the same order, for the one use that `purpose` names."""
        info = f"headrace/derived/{purpose}".encode()
        return tuple(NamedKey(key.kid, hkdf(key.material, info=info)) for key in self._keys)

    def to_text(self) -> str:
        """The text form for HEADRACE_MASTER_KEYS. Secret: for handing on to the fetcher's process alone."""
        return format_keys(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.kids)})"
