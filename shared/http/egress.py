"""Which addresses may be called. The last word is spoken at the socket, on the address really dialled (ADR 0007)."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from shared.errors import EgressRefusedError
from shared.http.urls import IPAddress, host_of, literal, parse_url

HINT = "An operator can allow it in HEADRACE_EGRESS_ALLOW, as a network or host:port."

# What `is_global` of Python 3.11 lets through although nobody's public API lives there.
_NOT_PUBLIC_V4 = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata service too
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's platform service under a public address
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ip_network(text)
    for text in (
        "2001::/23",  # protocol assignments
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_COMPATIBLE = ip_network("::/96")
_LOOPBACK = ip_address("127.0.0.1")
_NAT64 = tuple(ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/96"))

_HOST_PORT = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]/]+):(?P<port>\d{1,5})")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")


def _embedded(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address carries and a network on the way may deliver to."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


def is_public(address: IPAddress) -> bool:
    """True for an address of the public internet; an embedded IPv4 address is what counts, where there is one."""
    if embedded := _embedded(address):
        return all(is_public(inner) for inner in embedded)
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """Public addresses, and what the operator allows beside them."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    addresses: frozenset[tuple[IPAddress, int]] = frozenset()
    """Single addresses on one port."""
    hosts: frozenset[tuple[str, int]] = frozenset()
    """Names on one port: any address such a name resolves to, only while it is that name that is called."""

    @classmethod
    def parse(cls, text: str) -> "EgressPolicy":
        """HEADRACE_EGRESS_ALLOW: comma-separated `10.0.0.0/8`, `10.1.2.3`, `10.1.2.3:8080`, `[fd00::1]:443`,
        `erp.internal:443`. Raises ValueError naming the entry."""
        networks: list[IPv4Network | IPv6Network] = []
        addresses: set[tuple[IPAddress, int]] = set()
        hosts: set[tuple[str, int]] = set()
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ip_network(entry))
                continue
            except ValueError as error:
                if "/" in entry:
                    raise ValueError(f"{entry!r} is not a network: {error}") from None
            match = _HOST_PORT.fullmatch(entry)
            if match is None:
                raise ValueError(f"{entry!r} is not a network, an address or host:port")
            host, port = match["host"].strip("[]").rstrip("."), int(match["port"])
            if not 1 <= port <= 65_535:
                raise ValueError(f"{entry!r}: the port must be between 1 and 65535")
            if (address := literal(host)) is not None:
                addresses.add((address, port))
            elif _HOST.fullmatch(host):
                hosts.add((host, port))
            else:
                raise ValueError(f"{entry!r} is not a network, an address or host:port")
        return cls(tuple(networks), frozenset(addresses), frozenset(hosts))

    def check_url(self, text: str) -> URL:
        """The parsed URL, if it may be tried: a name is judged when it is dialled, a written address here as well.

        Raises ConfigurationError for what is no http(s) URL, EgressRefusedError for a refused address.
        """
        url = parse_url(text)
        host, port = host_of(url), url.port or 0
        if literal(host) is not None:
            self.check_address(host, port, host)
        return url

    def check_address(self, ip: str, port: int, host: str) -> None:
        """Raises EgressRefusedError unless `ip`:`port`, dialled for `host`, is public or allowed."""
        address = ip_address(ip)
        if (host.lower().rstrip("."), port) in self.hosts or is_public(address) or self._listed(address, port):
            return
        raise EgressRefusedError(f"{host}:{port} leads to an address that is not public and not allowed", hint=HINT)

    def lists(self, text: str) -> bool:
        """True when HEADRACE_EGRESS_ALLOW itself names this URL's host and port, or the network of its written
        address. For what is accepted only if an operator wants it, as a vendor's `base_url`; asks no resolver."""
        url = parse_url(text)
        host, port = host_of(url), url.port or 0
        address = _LOOPBACK if host == "localhost" else literal(host)  # that name never means another (RFC 6761)
        return (host, port) in self.hosts or (address is not None and self._listed(address, port))

    def _listed(self, address: IPAddress, port: int) -> bool:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            address = IPv6Address(int(address))
        inner = _embedded(address)
        return self._named(address, port) or (bool(inner) and all(self._named(each, port) for each in inner))

    def _named(self, address: IPAddress, port: int) -> bool:
        return (address, port) in self.addresses or any(address in network for network in self.networks)
