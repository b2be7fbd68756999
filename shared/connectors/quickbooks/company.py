"""One company's answers: queries and change data capture, decoded and proved whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.connector_sdk.json_body import parse_json
from shared.connector_sdk.protocol import Client, Request
from shared.connectors.quickbooks.config import QuickBooksConfig
from shared.connectors.quickbooks.faults import judge
from shared.connectors.quickbooks.statement import Table, moment
from shared.contracts.messages import RawRecord
from shared.errors import ConfigurationError, DataError, UnusableBodyError

MINOR_VERSION: Final = "75"
"""The oldest one that is served, and the one that absence means (Intuit, changes of August 2025)."""
CDC_CAP: Final = 1_000
"""Objects of one answer, shared by all entities asked for. A full one may have left some out."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found. `total`: of all that match, where the vendor says so; `time`: the vendor's, of its answer."""

    records: list[RawRecord]
    total: int | None
    time: datetime | None
    bytes: int

    @property
    def ids(self) -> list[str]:
        """Raises DataError for a record without one: what follows it could not be asked for."""
        return [record_id(record) for record in self.records]


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed: living records by entity, and the ids of those that were deleted."""

    records: Mapping[Table, list[RawRecord]]
    deleted: Mapping[Table, tuple[str, ...]]
    time: datetime | None
    bytes: int

    def touches(self, table: Table) -> bool:
        return bool(self.records[table] or self.deleted[table])


class Company:
    """Calls one company's API. Raises as `Client.send` does."""

    def __init__(self, config: QuickBooksConfig, client: Client) -> None:
        self._config = config
        self._client = client

    async def query(self, table: Table, statement: str) -> Found:
        """The records of a statement. UnusableBodyError when the answer is none, or not whole."""
        body, size = await self._get("query", (("query", statement),))
        response = body.get("QueryResponse")
        if not isinstance(response, dict):
            raise _unusable("has no QueryResponse")
        total = response.get("totalCount")
        return Found(
            records=_records(response, table),
            total=total if isinstance(total, int) and not isinstance(total, bool) else None,
            time=_time(body),
            bytes=size,
        )

    async def changes(self, tables: Sequence[Table], since: datetime) -> Changes | None:
        """What changed from `since` on. None when the vendor cannot tell: too long ago (30 days), or too much."""
        params = (("entities", ",".join(tables)), ("changedSince", moment(since)))
        try:
            body, size = await self._get("cdc", params)
        except (DataError, ConfigurationError):
            # Which fault "too old" is, is documented nowhere. If it was another, a query fails the same way.
            return None
        answers = _answers(body, len(tables))
        found = {table: _records(answer, table) for table, answer in zip(tables, answers, strict=True)}
        if sum(map(len, found.values())) >= CDC_CAP:
            return None
        return Changes(
            records={table: [record for record in records if not _is_stub(record)] for table, records in found.items()},
            deleted={
                table: tuple(record_id(record) for record in records if _is_stub(record))
                for table, records in found.items()
            },
            time=_time(body),
            bytes=size,
        )

    async def _get(self, path: str, params: tuple[tuple[str, str], ...]) -> tuple[dict[str, Any], int]:
        url = f"{self._config.api}/v3/company/{self._config.realm_id}/{path}"
        request = Request(
            "GET",
            url,
            params=(*params, ("minorversion", MINOR_VERSION)),
            headers={"Accept": "application/json"},  # without it the answer is XML
            judge=judge,
        )
        response = await self._client.send(request)
        body = parse_json(response.body, response.headers.get("content-type", ""))
        if not isinstance(body, dict):
            raise _unusable("is not an object")
        return body, len(response.body)


def record_id(record: RawRecord) -> str:
    """Raises DataError for a record without an id."""
    found = record.get("Id")
    if not isinstance(found, str) or not found:
        raise DataError("QuickBooks sent a record without an Id", hint="Sync again; if it stays so, report it.")
    return found


def _answers(body: Mapping[str, Any], count: int) -> list[Mapping[str, Any]]:
    """One object for each entity, in the order in which they were asked for."""
    response = body.get("CDCResponse")
    first = response[0] if isinstance(response, list) and response else None
    answers = first.get("QueryResponse") if isinstance(first, dict) else None
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(one, dict) for one in answers):
        raise _unusable("has not one answer for each entity")
    return answers


def _records(response: Mapping[str, Any], table: Table) -> list[RawRecord]:
    """Nothing found is an object without the entity's key."""
    records = response.get(table, [])
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise _unusable(f"holds no list of {table} records")
    said = response.get("maxResults", len(records))
    if said != len(records):
        raise _unusable(f"says that it holds {said} {table} records, but holds {len(records)}")
    return records


def _is_stub(record: RawRecord) -> bool:
    return record.get("status") == "Deleted"


def _time(body: Mapping[str, Any]) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(body.get("time")))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _unusable(what: str) -> UnusableBodyError:
    return UnusableBodyError(f"QuickBooks' answer {what}")
