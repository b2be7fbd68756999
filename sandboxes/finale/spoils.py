"""Faults that only Finale's answers can have, beside those of every server (`sandboxes.behaviour.faults`)."""

import csv
import io
from typing import Any, Literal

import msgspec
from aiohttp import web

from sandboxes.data.documents import decode, encode

SpoilKind = Literal[
    "error_object",  # 200 with an object that tells of a failure, in one of the forms that clients have met
    "short_column",  # one column of a collection lacks its last row
    "dropped_field",  # a column, or a field of a record, is missing, as Finale drops fields without notice
    "empty_report",  # a report with its header and no row
    "cut_report",  # a report that leaves out its last rows, as an old one does; its body is whole
    "graphql_error",  # GraphQL's errors, within 200 and without data
    "graphql_half",  # errors beside a half of the data
]
_ERRORS: dict[str, dict[str, Any]] = {
    "errorMessage": {"success": False, "errorMessage": "An unexpected error occurred"},
    "error": {"error": "An unexpected error occurred"},
    "message": {"message": "An unexpected error occurred"},
    "exception": {"exception": "java.lang.IllegalStateException"},
    "errors": {"errors": [{"message": "An unexpected error occurred"}]},
    "errorMessageList": {"errorMessageList": ["An unexpected error occurred"]},
}


class Spoil(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Good answers whose path starts with `path`: after `skip` of them, the next `count` (None: all) are spoiled."""

    kind: SpoilKind
    path: str = "/"
    skip: int = 0
    count: int | None = None
    field: str = ""
    """The column or field; by default the last one. Of `error_object`, its form: errorMessage, error, errors ..."""

    def __post_init__(self) -> None:
        if self.kind == "error_object" and self.field and self.field not in _ERRORS:
            raise ValueError(f"the forms of an error object are {', '.join(_ERRORS)}")


class Spoils:
    """The spoils in force; the first that strikes decides."""

    def __init__(self) -> None:
        self._armed: list[tuple[Spoil, list[int]]] = []

    def set(self, *spoils: Spoil) -> None:
        """Put these in the place of all earlier ones; none at all ends every spoil."""
        self._armed = [(spoil, []) for spoil in spoils]

    def hits(self) -> list[tuple[Spoil, int]]:
        """Each spoil with the number of answers it spoiled."""
        return [(spoil, sum(struck)) for spoil, struck in self._armed]

    def strike(self, path: str) -> Spoil | None:
        """The spoil for this request."""
        for spoil, struck in self._armed:
            if path.startswith(spoil.path) and (spoil.count is None or sum(struck) < spoil.count):
                struck.append(int(len(struck) >= spoil.skip))
                if struck[-1]:
                    return spoil
        return None


def spoiled(spoil: Spoil, good: web.StreamResponse) -> web.StreamResponse:
    """The answer with the fault; an answer that has no such thing stays as it is."""
    if not isinstance(good, web.Response) or not isinstance(good.body, bytes) or good.status != 200:
        return good
    if spoil.kind == "error_object":
        return web.Response(body=encode(_ERRORS[spoil.field or "errorMessage"]), content_type="application/json")
    if spoil.kind in ("empty_report", "cut_report"):
        return _without_rows(good, good.body, whole=spoil.kind == "empty_report")
    if spoil.kind in ("graphql_error", "graphql_half"):
        return _failing_query(good.body, whole=spoil.kind == "graphql_error")
    if good.content_type == "application/json":
        content = decode(good.body)
        if isinstance(content, dict) and content:
            name = spoil.field or next(reversed(content))
            if spoil.kind == "dropped_field":
                content.pop(name, None)
            elif isinstance(content.get(name), list):
                content[name] = content[name][:-1]
            return web.Response(body=encode(content), content_type="application/json")
    return good


def _without_rows(good: web.Response, body: bytes, *, whole: bool) -> web.Response:
    """Without all rows, or without the last third of them."""
    if good.content_type == "application/json":
        rows = decode(body)
        kept = rows[: 0 if whole else len(rows) * 2 // 3]
        return web.Response(body=encode(kept), content_type="application/json")
    table = list(csv.reader(io.StringIO(body.decode(), newline="")))
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(table[: 1 if whole else len(table) * 2 // 3])
    return web.Response(text=file.getvalue(), content_type=good.content_type, charset="utf-8")


def _failing_query(body: bytes, *, whole: bool) -> web.Response:
    """An answer with errors; the first collection of a half answer is null, as for a field that failed."""
    content = decode(body)
    data = content.get("data") or {}
    spoiled_data = None if whole else {name: None if at == 0 else part for at, (name, part) in enumerate(data.items())}
    errors = [{"message": "Internal error while reading the view"}]
    return web.Response(body=encode({"errors": errors, "data": spoiled_data}), content_type="application/json")
