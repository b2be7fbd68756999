"""One hop of a call, pure: what goes over the wire, and what a redirect makes of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from yarl import URL

from shared.errors import ConfigurationError
from shared.http.urls import join_url, origin, parse_url

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MIN_SECRET_CHARS = 4
"""Shorter values are not searched for inside other text: they would be found in anything."""

_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One call. What is secret is apart from what may be shown, and in no repr."""

    method: Literal["GET", "POST"]
    url: str
    params: _Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    """Counts as secret (a token request is one): never sent to another origin."""
    patience: float | None = None
    """The longest silence in seconds; None: the client's own bound."""


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a call stands after some redirects. `url` never holds a secret parameter."""

    method: str
    url: URL
    headers: Mapping[str, str]
    secret_headers: Mapping[str, str] = field(repr=False)
    secret_params: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    strayed: bool = False
    """A redirect led to another origin: from there on no secrets are sent, not even back at the first one."""

    @classmethod
    def first(cls, request: HttpRequest) -> "Hop":
        """Raises ConfigurationError when the URL is none that can be called."""
        url = parse_url(request.url)
        if request.params:
            url = url.extend_query(request.params)
        url = _without(url, request.secret_params)
        return cls(
            method=request.method,
            url=url,
            headers=request.headers,
            secret_headers=request.secret_headers,
            secret_params=request.secret_params,
            body=request.body,
        )

    def wire_url(self) -> URL:
        """With the secret parameters, where they may go."""
        if self.strayed or not self.secret_params:
            return self.url
        return self.url.extend_query(dict(self.secret_params))

    def wire_headers(self) -> dict[str, str]:
        """With the secret headers, where they may go; they win over visible ones of the same name."""
        if self.strayed:
            return dict(self.headers)
        secret = {name.lower() for name in self.secret_headers}
        return {n: v for n, v in self.headers.items() if n.lower() not in secret} | dict(self.secret_headers)

    def redirected(self, status: int, location: str) -> "Hop":
        """The next hop. Raises ConfigurationError where following would carry a secret out, or over plain http."""
        target = join_url(self.url, location)
        strays = self.strayed or origin(target) != origin(self.url)
        if self._has_secrets and self.url.scheme == "https" and target.scheme == "http":
            raise ConfigurationError(
                f"{origin(self.url)} redirects from https to plain http, where credentials would be readable",
                hint="Configure the https address that finally answers.",
            )
        target = self._cleaned(target) if strays else _without(target, self.secret_params)
        keeps_method = status in {307, 308} or self.method != "POST"
        if strays and keeps_method and self.body is not None:
            raise ConfigurationError(f"{origin(self.url)} redirects a request with a body to another origin")
        if keeps_method:
            return replace(self, url=target, strayed=strays)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-type"}
        return replace(self, method="GET", url=target, headers=headers, body=None, strayed=strays)

    @property
    def _has_secrets(self) -> bool:
        return bool(self.secret_headers or self.secret_params)

    def _secret_values(self) -> Iterator[str]:
        """Each secret as it is, and without the scheme before it (`Bearer …`)."""
        for value in (*self.secret_headers.values(), *self.secret_params.values()):
            yield from {part for part in (value, value.rpartition(" ")[2]) if len(part) >= MIN_SECRET_CHARS}

    def _cleaned(self, target: URL) -> URL:
        """Without secrets that the server wrote into its own redirect."""
        secrets = set(self._secret_values())
        echoed = [name for name, value in target.query.items() if value in secrets]
        target = _without(target, {*self.secret_params, *echoed})
        shown = f"{target} {target.human_repr()}"
        if any(secret in shown for secret in secrets):
            raise ConfigurationError(f"{origin(self.url)} redirects to another origin with the credentials in the URL")
        return target


def _without(url: URL, names: Mapping[str, str] | set[str]) -> URL:
    found = [name for name in names if name in url.query]
    return url.without_query_params(*found) if found else url
