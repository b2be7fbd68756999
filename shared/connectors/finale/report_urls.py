"""The address of a report, as a person copies it from Finale. Pure; everything that can be wrong is said at once."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared.connector_sdk.http_config import public_url
from shared.contracts.ids import Entity
from shared.http.urls import MAX_URL_CHARS, origin, parse_url

ReportFormat = Literal["csv", "jsonObject"]

_PATH = re.compile(r"/(?P<account>[^/]+)/doc/report/(?P<kind>pivotTable|pivotTableStream)/\d+/Report\.(?P<end>\w+)")
_ENDS: Mapping[str, str] = {"csv": "csv", "jsonObject": "json"}


def _report_url(text: str) -> str:
    url = parse_url(public_url(text))
    found = _PATH.fullmatch(url.raw_path)
    if found is None:
        raise ValueError(
            "is no address of a report: open the report in Finale and copy its address, "
            "https://.../<account>/doc/report/pivotTable/<number>/Report.csv?format=csv&data=..."
        )
    named = url.query.getall("format", [])
    if len(named) != 1 or named[0] not in _ENDS:
        raise ValueError("has to ask for format=csv or format=jsonObject: other formats cannot be read")
    if found["end"] != _ENDS[named[0]]:
        raise ValueError(f"ends in Report.{found['end']}; with format={named[0]} it is Report.{_ENDS[named[0]]}")
    return text


ReportUrl = Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARS), AfterValidator(_report_url)]
"""Long, because it holds the report's whole definition."""
ReportUrls = dict[Entity, ReportUrl]


def check_home(urls: Mapping[Entity, str], account: str, base_url: str) -> None:
    """Raises ValueError for a report of another account or server: the key is sent nowhere else."""
    for entity, text in urls.items():
        url, found = parse_url(text), _PATH.fullmatch(parse_url(text).raw_path)
        if origin(url) != origin(parse_url(base_url)):
            raise ValueError(
                f"report_urls.{entity}: is not on the server of the account, {origin(parse_url(base_url))}, "
                "and the API key is sent nowhere else"
            )
        if found is None or found["account"] != account:
            raise ValueError(f"report_urls.{entity}: is a report of another account than {account}")


def format_of(url: str) -> ReportFormat:
    """Of a valid address."""
    return "jsonObject" if parse_url(url).query["format"] == "jsonObject" else "csv"


def data_url(url: str) -> str:
    """The address that gives the data itself: the one that the web pages use shows the progress as a page (Finale
    documentation, reporting API)."""
    return url.replace("/doc/report/pivotTableStream/", "/doc/report/pivotTable/", 1)
