"""Addresses of the Finale sandbox's reports, and sources that read them."""

import base64
import json
from typing import Any

from pipeline import Pipeline
from shared.contracts.ids import SourceId

CREDENTIALS = {"api_key": "key", "api_secret": "secret"}
SETS = {"inventory": "product", "vendors": "party", "purchase_orders": "order"}


def report_url(base: str, data: str, form: str = "csv", *filters: Any, account: str = "acme") -> str:
    """As it is copied from the page that shows the report, with all that such an address has."""
    end = "csv" if form == "csv" else "json"
    packed = base64.b64encode(json.dumps(list(filters)).encode()).decode()
    return (
        f"{base}/{account}/doc/report/pivotTableStream/1717171717171/Report.{end}?format={form}&data={data}"
        f"&attrName=%23%23user042&rowDimensions=~gqFhAQ_-&metrics=~kA&filters={packed}&reportTitle=My+report%2C+no.+1"
    )


def config(base: str, form: str = "csv", *entities: str) -> dict[str, Any]:
    """Of a source that reads these entities (none: all) by report."""
    urls = {entity: report_url(base, data, form) for entity, data in SETS.items() if not entities or entity in entities}
    return {"account": "acme", "base_url": base, "time_zone": "America/New_York", "report_urls": urls}


async def add(pipeline: Pipeline, config: dict[str, Any], **more: Any) -> SourceId:
    return await pipeline.add_source(config, CREDENTIALS, source_type="finale_inventory", **more)
