"""URLs as the client will really dial them: one parser for the guard, the client and the pagers, so none can differ."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from yarl import URL

from shared.errors import ConfigurationError

IPAddress = IPv4Address | IPv6Address

MAX_URL_CHARS = 8_000

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?")
_NUMBER_LABEL = re.compile(r"(?:\d+|0x[0-9a-f]*)")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")


def parse_url(text: str) -> URL:
    """An absolute http(s) URL without userinfo. Raises ConfigurationError, which never quotes the URL."""
    if len(text) > MAX_URL_CHARS:
        raise ConfigurationError(f"the URL is longer than {MAX_URL_CHARS} characters")
    if _UNPRINTABLE.search(text):
        raise ConfigurationError("the URL holds a space, a backslash or a control character")
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ConfigurationError("the URL cannot be understood") from None
    if url.scheme not in {"http", "https"}:
        raise ConfigurationError("the URL must start with https:// or http://")
    if url.user is not None or url.password is not None:
        raise ConfigurationError("the URL holds a user name or password", hint="They belong in the credentials.")
    if not url.raw_host or not port:
        raise ConfigurationError("the URL names no host or port")
    host = host_of(url)
    if literal(host) is None:
        if not _HOST_NAME.fullmatch(host):
            raise ConfigurationError("the URL's host is not a name or an address")
        if _NUMBER_LABEL.fullmatch(host.rsplit(".", 1)[-1]):
            # 127.1, 2130706433, 0x7f.1: the system's resolver would turn these into an address.
            raise ConfigurationError("the URL's host is an address in an unusual form", hint="Write it as a.b.c.d.")
    return url.with_fragment(None)


def join_url(base: URL, reference: str) -> URL:
    """`reference` (absolute or relative, as in Location and Link) seen from `base`. Raises as parse_url does."""
    reference = reference.strip().replace(" ", "%20")
    try:
        return parse_url(str(base.join(URL(reference))))
    except ValueError:
        raise ConfigurationError("the link cannot be understood") from None


def host_of(url: URL) -> str:
    """Lower-case, IDNA-encoded, without the root's dot."""
    return (url.raw_host or "").lower().rstrip(".")


def literal(host: str) -> IPAddress | None:
    """The address that `host` writes out, None when it is a name."""
    try:
        return ip_address(host.replace("%25", "%"))
    except ValueError:
        return None


def origin(url: URL) -> str:
    """`scheme://host:port`, the port always written: equal exactly when two URLs have the same origin."""
    host = host_of(url)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{url.port}"


def place(url: URL) -> str:
    """What an error may say of a URL: never its query, where secrets travel."""
    return f"{url.origin()}{url.raw_path}"[:200]
