"""Which header and parameter names carry secrets: their values belong in the credentials, which are sealed. Pure."""

import re

_WORDS = frozenset(
    {
        "auth", "authentication", "authorization", "bearer", "cookie", "credential", "credentials", "jwt", "key",
        "keys", "oauth", "otp", "pass", "passphrase", "passwd", "password", "pin", "pw", "pwd", "secret", "session",
        "sessionid", "sid", "sig", "signature", "token", "tokens",
    }
)  # fmt: skip
_PARTS = (
    "accesskey", "apikey", "authkey", "authorization", "cookie", "credential", "passwd", "password", "privatekey",
    "secret", "sessid", "sessionid", "signature", "token",
)  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def carries_secret(name: str) -> bool:
    """True for `Authorization`, `X-Api-Key`, `accessToken`, `apikey`, `sig` …; false for `keyword` or `currency`."""
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    return any(part in joined for part in _PARTS) or any(word.lower() in _WORDS for word in _WORD.findall(name))
