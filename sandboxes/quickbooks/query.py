"""Answering queries and change data capture from a company's records."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sandboxes.quickbooks.clock import PACIFIC, pacific
from sandboxes.quickbooks.company import Company, Row
from sandboxes.quickbooks.entities import SPECS, Spec
from sandboxes.quickbooks.statement import Condition, Statement, Word, parse
from sandboxes.quickbooks.wire import QuickBooksError

_DISTANT = Decimal("-Infinity")


def query(company: Company, text: str) -> dict[str, Any]:
    """The `QueryResponse` of a statement. QuickBooksError when the statement is none."""
    statement = parse(text, company.switches)
    found = _matching(company, statement)
    if statement.count:
        return {"totalCount": len(found)}
    for field, down in reversed(statement.order):
        found.sort(key=_sort_key(statement.spec, field), reverse=down)
    name = statement.spec.name
    rows = found[statement.start - 1 : statement.start - 1 + statement.size]
    if not rows:
        return {}
    records = [_columns(company, statement, row) for row in rows]
    total = {"totalCount": len(found)} if company.switches.total_count else {}
    return {name: records, "startPosition": statement.start, "maxResults": len(rows), **total}


def changes(company: Company, parameters: Mapping[str, str], now: datetime) -> list[dict[str, Any]]:
    """One `QueryResponse` for each entity asked for, together at most 1000 records, the oldest change first."""
    switches = company.switches
    for name in ("entities", "changedSince"):
        if not parameters.get(name):
            raise QuickBooksError("2020", f"Required parameter {name} is missing in the request", name)
    since = moment_of(parameters["changedSince"])
    if since is None:
        raise QuickBooksError("2010", "changedSince is no time", "changedSince")
    if now - since > timedelta(days=switches.cdc_days):
        detail = (
            f"Operation cdc with changedSince date {pacific(since)} which is older than "
            f"{switches.cdc_days} days is not supported."
        )
        raise QuickBooksError(switches.cdc_too_old_code, detail, status=400)
    answers, left = [], switches.cdc_cap
    for name in parameters["entities"].split(","):
        spec = next((spec for known, spec in SPECS.items() if known == name.strip()), None)
        if spec is None:
            raise QuickBooksError("500", f"Operation cdc is not supported for {name.strip()}.")
        rows = [row for row in company.rows[spec.name].values() if row.updated >= since]
        rows = sorted(rows, key=lambda row: (row.updated, int(row.id)))[:left]
        left -= len(rows)
        records = [_stub(row) if row.deleted else company.text(row) for row in rows]
        answers.append({spec.name: records, "startPosition": 1, "maxResults": len(rows)} if rows else {})
    return answers


def moment_of(text: str) -> datetime | None:
    """The time that a caller wrote; without a zone it is the vendor's. None when it is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=PACIFIC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _stub(row: Row) -> dict[str, Any]:
    stamp = {"LastUpdatedTime": pacific(row.updated)}
    return {"domain": "QBO", "status": "Deleted", "Id": row.id, "MetaData": stamp}


def _columns(company: Company, statement: Statement, row: Row) -> Any:
    if not statement.columns:
        return company.text(row)
    whole = company.record(row)
    wanted = {"Id", "domain", *(name.partition(".")[0] for name in statement.columns)}
    return {**{name: value for name, value in whole.items() if name in wanted}, "sparse": True}


def _matching(company: Company, statement: Statement) -> list[Row]:
    tests = [_test(statement.spec, condition) for condition in statement.conditions]
    if statement.spec.kind == "list" and all(condition.field != "Active" for condition in statement.conditions):
        tests.append(lambda row: row.data.get("Active") is not False)
    return [row for row in company.living(statement.spec.name) if all(test(row) for test in tests)]


def _test(spec: Spec, condition: Condition) -> Callable[[Row], bool]:
    read = _reader(spec, condition.field)
    if condition.operator == "LIKE":
        if _kind(spec, condition.field) != "text" or condition.values[0].kind != "text":
            raise QuickBooksError("4001", f"QueryValidationError: {condition.field} knows no LIKE", condition.field)
        pieces = condition.values[0].value.split("%")
        pattern = re.compile(".*".join(re.escape(piece) for piece in pieces), re.DOTALL)
        return lambda row: pattern.fullmatch(str(read(row) or "")) is not None
    values = [_value(spec, condition.field, word) for word in condition.values]
    if condition.operator == "IN":
        return lambda row: read(row) in values
    return _comparison(condition.operator, read, values[0])


def _comparison(operator: str, read: Callable[[Row], Any], value: Any) -> Callable[[Row], bool]:
    def holds(row: Row) -> bool:
        found = read(row)
        if found is None:
            return value == " " and operator == "="  # a quoted blank is the old word for null
        match operator:
            case "=":
                return bool(found == value)
            case "<":
                return bool(found < value)
            case ">":
                return bool(found > value)
            case "<=":
                return bool(found <= value)
            case _:
                return bool(found >= value)

    return holds


def _kind(spec: Spec, field: str) -> str:
    """How the field compares."""
    if field == "Id":
        return "id"
    if field.startswith("MetaData."):
        return "time"
    if field in ("TotalAmt", "Balance"):
        return "number"
    kind = spec.fields[field]
    return "text" if kind == "server" else kind


def _reader(spec: Spec, field: str) -> Callable[[Row], Any]:
    match field:
        case "Id":
            return lambda row: int(row.id)
        case "MetaData.LastUpdatedTime":
            return lambda row: row.updated
        case "MetaData.CreateTime":
            return lambda row: row.created
        case "Active":
            return lambda row: row.data.get("Active") is not False
        case _ if _kind(spec, field) == "number":
            return lambda row: row.data.get(field, 0)
        case _:
            return lambda row: row.data.get(field)


def _sort_key(spec: Spec, field: str) -> Callable[[Row], tuple[bool, Any]]:
    read = _reader(spec, field)

    def key(row: Row) -> tuple[bool, Any]:
        value = read(row)
        return value is not None, _DISTANT if value is None else value

    return key


def _value(spec: Spec, field: str, word: Word) -> Any:
    kind = _kind(spec, field)
    found: Any = None
    match kind:
        case "bool" if word.value.lower() in ("true", "false"):
            found = word.value.lower() == "true"
        case "id" if word.value.isascii() and word.value.isdigit() and len(word.value) <= 18:
            found = int(word.value)
        case "number" if word.kind != "word":
            found = _decimal(word.value)
        case "time" if word.kind == "text":
            found = moment_of(word.value)
        case "date" if word.kind == "text":
            found = _day(word.value)
        case "text" if word.kind != "word":
            found = word.value
        case _:
            pass
    if found is None:
        raise QuickBooksError("4001", f"QueryValidationError: value {word.value} does not fit {field}", field)
    return found


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _day(text: str) -> str | None:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None
