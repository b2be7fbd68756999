"""Reading changes alone ends in the same tables as reading all: 200 random edits, in every style of paging."""

import random
from datetime import timedelta
from typing import Any

import pytest

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.behaviour.server import Behaviour
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running
from shared.clock import SystemClock
from shared.contracts.ids import SourceId

EDITS, ROUNDS = 200, 10
STEP = timedelta(minutes=7)
"""Between two edits: more than the overlap of incremental reads, so that most of them lie behind the cursor."""
COMPARED = ("external_id", "sku", "name", "description", "category", "quantity_on_hand", "unit_price", "status")
"""Not `extra` and `source_updated_at`: a change of these alone is none of the row, so it is written by chance."""
MAPPING: dict[str, Any] = {
    "inventory": {
        "sku": "to_string(productID)",
        "name": "productName",
        "description": "quantityPerUnit",
        "category": "to_string(categoryID)",
        "quantity_on_hand": "unitsInStock",
        "unit_price": "unitPrice",
        "status": {"path": "to_string(discontinued)", "map": {"true": "inactive", "false": "active"}},
    }
}
STYLES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "all": (None, {"type": "none"}),
    "page": ("items", {"type": "page", "page_param": "page", "size_param": "size", "page_size": 9}),
    "cursor": ("data", {"type": "cursor", "cursor_param": "cursor", "cursor_path": "next_cursor"}),
    "linkheader": (None, {"type": "link"}),
}


class Shop:
    """The JSON API under edits, at a time of its own that lies in the past and moves with each edit."""

    def __init__(self, seed: int) -> None:
        self._now = SystemClock().now() - STEP * (EDITS + 20)
        self._random = random.Random(seed)
        self.state = JsonApiState.northwind(Behaviour(wall=lambda: self._now))
        self.removed: set[str] = set()

    def edit(self) -> None:
        """Change, create or remove one product."""
        self._now += STEP
        ids = [record["productID"] for record in self.state.records("products")]
        kind = self._random.choices(("change", "create", "remove"), (14, 6, 1))[
            0
        ]  # few enough for a delete without approval
        chosen = self._random.choice(ids)
        if kind == "remove":
            self.state.remove("products", chosen)
            self.removed.add(str(chosen))
        elif kind == "create":
            template = self.state.records("products")[self._random.randrange(len(ids))]
            fields = {name: value for name, value in template.items() if name not in {"productID", "updatedAt"}}
            self.state.add("products", productID=max(ids) + self._random.randint(1, 5), **fields)
        else:
            change: dict[str, Any] = self._random.choice(
                [
                    {"unitsInStock": self._random.randint(0, 500)},
                    {"productName": f"Name {self._random.random()}"},
                    {"discontinued": self._random.random() < 0.5},
                    {"unitsInStock": None, "quantityPerUnit": "loose"},
                ]
            )
            self.state.edit("products", chosen, **change)


def config(base: str, style: str, *, incremental: bool) -> dict[str, Any]:
    records_path, pagination = STYLES[style]
    entity: dict[str, Any] = {
        "url": f"{base}/{style}/products",
        "params": {"limit": 9} if style in {"cursor", "linkheader"} else {},
        "id_path": "productID",
        "updated_at_path": "updatedAt",
        "pagination": pagination,
    }
    if records_path is not None:
        entity["records_path"] = records_path
    if incremental:
        entity["updated_since_param"] = "updated_since"
    return {"entities": {"inventory": entity}}


async def table(pipeline: Pipeline, source: SourceId, *, deleted: bool = False) -> dict[str, tuple[Any, ...]]:
    rows = await pipeline.rows("inventory", source, deleted=deleted)
    return {row["external_id"]: tuple(row[name] for name in COMPARED) for row in rows}


@pytest.mark.parametrize("style", STYLES)
async def test_changes_alone_end_in_the_same_tables(pipeline: Pipeline, style: str) -> None:
    shop = Shop(seed=len(style))
    async with running(build_app(shop.state)) as base:
        sources = {
            name: await pipeline.add_source(
                config(base, style, incremental=name == "incremental"), field_mappings=MAPPING
            )
            for name in ("incremental", "full")
        }
        first = await pipeline.sync(sources["incremental"])
        assert first.entities["inventory"].inserted == 77
        read = 0
        for _ in range(ROUNDS):
            for _ in range(EDITS // ROUNDS):
                shop.edit()
            run = await pipeline.sync(sources["incremental"])
            counters = run.entities["inventory"]
            assert (run.status, counters.deleted, counters.delete_proposal) == ("succeeded", 0, None), run
            read += counters.read
        assert 0 < read <= EDITS + 2 * ROUNDS, "not only what changed was read"

        full = await pipeline.sync(sources["full"], mode="full")
        assert full.status == "succeeded"
        expected = await table(pipeline, sources["full"])
        assert set(expected) == {str(record["productID"]) for record in shop.state.records("products")}

        # A read of changes cannot see what is gone: those rows, and no others, are still there.
        found = await table(pipeline, sources["incremental"])
        assert {key: row for key, row in found.items() if key not in shop.removed} == expected
        assert set(found) - set(expected) <= shop.removed
        gone = len(found) - len(expected)
        assert gone > 0, "nothing was removed that had been read"

        # The full sweep finds them. Where paging can skip living rows, only what two sweeps miss is deleted.
        sweeps = [await pipeline.sync(sources["incremental"], mode="full") for _ in range(2 if style == "page" else 1)]
        assert [sweep.status for sweep in sweeps] == ["succeeded"] * len(sweeps)
        assert [sweep.entities["inventory"].deleted for sweep in sweeps] == [0] * (len(sweeps) - 1) + [gone]
        assert await table(pipeline, sources["incremental"]) == expected
        assert set(await table(pipeline, sources["incremental"], deleted=True)) - set(expected) <= shop.removed


async def test_a_read_that_fails_half_way_loses_no_change(pipeline: Pipeline) -> None:
    shop = Shop(seed=1)
    async with running(build_app(shop.state)) as base:
        source = await pipeline.add_source(config(base, "page", incremental=True), field_mappings=MAPPING)
        await pipeline.sync(source)
        for _ in range(30):
            shop.edit()
        shop.state.behaviour.faults.set(FaultRule(kind="status", status=404, skip=1))
        half = await pipeline.sync(source)
        assert (half.status, half.entities["inventory"].pages) == ("failed", 1)

        shop.state.behaviour.faults.set()
        assert (await pipeline.sync(source)).status == "succeeded"

        full = await pipeline.add_source(config(base, "page", incremental=False), field_mappings=MAPPING)
        await pipeline.sync(full)
        found = await table(pipeline, source)
        expected = await table(pipeline, full)
        assert {key: row for key, row in found.items() if key not in shop.removed} == expected
