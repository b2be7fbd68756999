"""Names for secrets that do not tell them: account scopes of the limiter, parts of cache keys."""

import hashlib

from shared.sealing.keyring import KeyRing

_DIGEST_BYTES = 16


class FingerprintKey:
    """The deployment's own key, so that a leaked fingerprint cannot be tried against guessed secrets elsewhere."""

    __slots__ = ("_key",)

    def __init__(self, ring: KeyRing) -> None:
        # From the oldest key, not the current: a rotation puts a new key first and must not give every account a
        # new name, hence a second budget at the vendor. Names change only when the oldest key leaves the ring.
        self._key = ring.derive("fingerprint/v1")[-1].material

    def digest(self, secret: bytes) -> str:
        """32 hexadecimal characters, the same for the same secret in every process of this deployment."""
        return hashlib.blake2b(secret, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()

    def __repr__(self) -> str:
        return "FingerprintKey()"


def fingerprint(secret: bytes, key: FingerprintKey) -> str:
    """A stable, keyed, one-way name of `secret`: 32 hexadecimal characters."""
    return key.digest(secret)
