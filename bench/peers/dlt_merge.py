"""dlt with its defaults: REST client, link paginator, six fields renamed, merge by key into PostgreSQL.

Runs in an environment of its own (bench/requirements/dlt.lock). Prints its own seconds, start and imports left out.
"""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}  # dlt reads them when imported

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

JOB = json.loads(os.environ["BENCH_JOB"])


@dlt.resource(name="items", primary_key="sku", write_disposition="merge")
def items() -> Iterator[list[dict[str, Any]]]:
    client = RESTClient(JOB["source"], paginator=JSONLinkPaginator("next"), data_selector="items")
    for page in client.paginate("/items", params={"page": 1, "size": JOB["page"]}):
        yield [{new: found[old] for old, new in JOB["renamed"].items()} for found in page]


def main() -> None:
    began = time.perf_counter()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=JOB["state"],
        destination=dlt.destinations.postgres(JOB["database"]),
        dataset_name="dlt",
    )
    pipeline.run(items()).raise_on_failed_jobs()
    print(json.dumps({"own_s": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
