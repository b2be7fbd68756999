"""Two of each worker, each a process, at two sources at once: every row and value, and nothing twice."""

import asyncio
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from generated_source import deadlocks, differences, products_source, stored, truth
from up_harness import Up, headrace_up

from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.storage.run_views import EntityView, RunView
from shared.storage.sources import SourceView


@pytest.mark.parametrize(
    ("products", "page_size", "within"),
    [
        (400, 50, 40.0),
        pytest.param(100_000, 1000, 1200.0, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_two_sources_are_read_and_written_by_two_of_each(
    tmp_path: Path, process_settings: dict[str, str], products: int, page_size: int, within: float
) -> None:
    state = JsonApiState.generated(products)
    async with (
        running(build_app(state)) as base,
        headrace_up(
            tmp_path / "data", tmp_path / "log", "--scale", "fetcher=2", "transformer=2", "writer=2", "--dev-user",
            egress_allow=urlsplit(base).netloc, **process_settings,
        ) as up,
    ):  # fmt: skip
        sources = [
            await up.add_source(products_source(base, page_size=page_size, name=name)) for name in ("left", "right")
        ]
        await compare(up, sources, state, within, inserted=products, updated=0, unchanged=0)

        changed = len(state.change_percent("products", 1))
        assert changed == products // 100
        await compare(up, sources, state, within, inserted=0, updated=changed, unchanged=products - changed)

        assert await deadlocks(process_settings["database_url"]) == 0


async def compare(up: Up, sources: list[SourceView], state: JsonApiState, within: float, **counters: int) -> None:
    """Sync all at once; counters and rows are exact."""
    started = time.perf_counter()
    accepted = [await up.start_sync(source) for source in sources]
    runs: list[RunView] = await asyncio.gather(*(up.finished(each, within=within) for each in accepted))
    seconds = time.perf_counter() - started
    expected, read = truth(state), sum(counters.values())
    print(f"{len(sources)} x {read} rows in {seconds:.1f} s: {len(sources) * read / seconds:.0f} rows/s {counters}")
    for source, run in zip(sources, runs, strict=True):
        assert run.status == "succeeded", run
        inventory: EntityView = run.entities["inventory"]
        assert inventory.read == read
        assert {name: getattr(inventory, name) for name in counters} == counters
        assert (inventory.deleted, inventory.quarantined, inventory.filtered, inventory.duplicates) == (0, 0, 0, 0)
        assert not differences(await stored(up.endpoints()["database_url"], source.id), expected)
