"""One Finale account as it is called: its addresses, and what its refusals mean in words."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Literal

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.protocol import Client, OnHeaders, Request
from shared.connector_sdk.spool import SpoolSpace
from shared.connectors.finale.columns import ColumnTable, column_table
from shared.connectors.finale.config import FinaleConfig
from shared.contracts.messages import RawRecord
from shared.errors import (
    AuthenticationError,
    ConfigurationError,
    DataError,
    HeadraceError,
    UnusableBodyError,
)
from shared.http.urls import origin, parse_url

COLLECTION_CAP = 120_000
"""The most records that a collection's answer holds (Finale documentation, filtering resources)."""
ERROR_KEYS = ("errorMessage", "error", "message", "exception", "errors", "errorMessageList", "messages")
"""Where an answer of status 200 may tell of a failure: texts or lists of texts or objects (met by clients)."""
_HEADERS = {"Accept": "application/json"}
_REPORT_HINT = (
    "Open the report in Finale. If it works there, copy its address anew into report_urls; if Finale is away or shows "
    "another page, sync again later."
)
_What = Literal["collection", "record", "report", "query"]


class BeyondCapError(DataError):
    """The account has more of these than one answer holds."""


class Account:
    """Reads collections and records of one account."""

    def __init__(self, config: FinaleConfig, client: Client, cap: int = COLLECTION_CAP) -> None:
        self._config = config
        self._client = client
        self._cap = cap
        self._base = config.base_url.rstrip("/")
        self._origin = origin(parse_url(self._base))

    @property
    def root(self) -> str:
        """What the addresses in payloads begin with."""
        return f"/{self._config.account}/api/"

    @property
    def spool(self) -> SpoolSpace:
        """Where answers that do not fit into memory are kept while they are read."""
        return self._client.spool

    @asynccontextmanager
    async def collection(
        self,
        resource: str,
        identity: str,
        *needed: str,
        params: Sequence[tuple[str, str]] = (),
        also_counts_in: tuple[str, ...] = (),
    ) -> AsyncIterator[ColumnTable]:
        """The whole collection, on disk. A read without `filter` that reaches the cap is refused.
        `also_counts_in`: further limit classes.

        Raises what the client raises, BeyondCapError, DataError without the columns `identity` and `needed` where
        there are rows, UnusableBodyError for an object that tells of a failure.
        """
        # Always with the slash at the end: without it `inventoryitem` is not found.
        request = Request(
            "GET",
            f"{self._base}{self.root}{resource}/",
            params=tuple(params),
            headers=_HEADERS,
            limit_class="get",
            also_counts_in=("collection", *also_counts_in),
        )
        async with (
            aclosing(self.chunks(request, "collection")) as chunks,
            column_table(chunks, resource, self.spool) as table,
        ):
            _check_table(table, resource, (identity, *needed))
            if table.length >= self._cap:
                raise BeyondCapError(
                    f"{resource}: the answer holds {table.length:,} records, and Finale cuts it at {self._cap:,}: "
                    "what lies behind cannot be read",
                    hint="This account is too large for Finale's REST API; nothing was changed.",
                )
            yield table

    async def record(self, address: str, identity: str) -> RawRecord | None:
        """The record at an address as a payload gave it; None where there is none (404)."""
        request = Request("GET", self._absolute(address), headers=_HEADERS, limit_class="get")
        try:
            with self._in_words("record"):
                response = await self._client.send(request)
        except ConfigurationError as error:
            if error.status == 404:
                return None
            raise
        found = parse_json(response.body, response.headers.get("content-type", ""))
        if not isinstance(found, dict):
            raise UnusableBodyError(f"{address} sent no JSON object")
        if identity not in found:
            _check_failure(found, address)
        if found.get(identity) != address:
            raise DataError(f"{address} sent another record than this address names")
        return found

    async def query(self, body: Mapping[str, Any]) -> bytes:
        """The answer to a GraphQL query, which counts among the POSTs. Raises what the client raises."""
        request = Request("POST", f"{self._base}{self.root}graphql", headers=_HEADERS, json=body, limit_class="post")
        with self._in_words("query"):
            return (await self._client.send(request)).body

    def _absolute(self, address: str) -> str:
        """Addresses are relative to the host and stay within the account; credentials go nowhere else."""
        if not address.startswith(self.root) or ".." in address.split("/") or "\\" in address:
            raise DataError(f"an address in the answer leads out of the account: {address[:100]!r}")
        url = parse_url(f"{self._base}{address}")
        if origin(url) != self._origin:
            raise DataError(f"an address in the answer leads to another server: {address[:100]!r}")
        return f"{self._base}{address}"

    async def chunks(
        self, request: Request, what: _What, on_headers: OnHeaders | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The body as it arrives."""
        with self._in_words(what):
            async with aclosing(self._client.stream(request, on_headers=on_headers)) as chunks:
                async for chunk in chunks:
                    yield chunk

    @contextmanager
    def _in_words(self, what: _What) -> Iterator[None]:
        """Refusals as a person who set up Finale understands them."""
        try:
            yield
        except (AuthenticationError, ConfigurationError, DataError) as error:
            worded = self._worded(error, what)
            if worded is None:
                raise
            worded.status = error.status
            raise worded from None
        except UnusableBodyError as error:
            if what == "report":  # its address gives the page to sign in with status 200
                error.hint = _REPORT_HINT
            raise

    def _worded(self, error: HeadraceError, what: _What) -> HeadraceError | None:
        account = self._config.account
        match error.status:
            case 401 | 403:
                return AuthenticationError(
                    f"Finale refuses the API key for the account {account} (status {error.status})",
                    hint="Check api_key and api_secret: they are made in Finale under the user's API keys, the secret "
                    "is shown once. The key may have been revoked, or belong to another account.",
                )
            case 402:
                return ConfigurationError(
                    f"Finale does not give the account {account} access to its API (status 402)",
                    hint="The account's plan does not include the API: ask Finale for a plan that does.",
                )
            case 400 | 404 if what == "report":
                return ConfigurationError(f"Finale has no such report (status {error.status})", hint=_REPORT_HINT)
            case 404 if what in ("collection", "query"):
                return ConfigurationError(
                    f"Finale knows no account {account} (status 404)",
                    hint="`account` is the first part of the address after you signed in: "
                    "app.finaleinventory.com/<account>/...",
                )
            case _:
                return None


def _check_table(table: ColumnTable, resource: str, needed: Sequence[str]) -> None:
    others = table.others
    if needed[0] not in table.names:
        # An error's list would pass for a column.
        lists = {name: [True] for name in table.names if table.length}
        _check_failure({**lists, **others}, resource)
    for name, value in others.items():
        if name in ERROR_KEYS and value:
            raise _failure(resource, name)
        if name not in ERROR_KEYS and name != "success":
            raise DataError(f"{resource}: {name} is no list, as the columns of a collection are")
    for name in needed if table.length else ():
        if name not in table.names:
            raise DataError(
                f"{resource}: the answer has {table.length:,} records and no column {name}",
                hint="Finale left out a field that these records cannot be read without; nothing was changed.",
            )


def _check_failure(found: Mapping[str, Any], place: str) -> None:
    for name in ERROR_KEYS:
        if found.get(name):
            raise _failure(place, name)
    if found.get("success") is False:
        raise _failure(place, "success")


def _failure(place: str, name: str) -> UnusableBodyError:
    return UnusableBodyError(
        f"{place}: Finale tells of a failure in `{name}` where data was due (status 200)",
        hint="Sync again later; if it stays, ask Finale what is wrong with this account's data.",
    )
