"""A JSON API's run from asking to rows, on the real data of a small shop."""

from typing import Any

from pipeline import Pipeline
from sandboxes.json_api.app import build_app
from sandboxes.json_api.state import JsonApiState
from sandboxes.serving import running

MAPPING: dict[str, Any] = {
    "inventory": {
        "sku": "to_string(productID)",
        "name": "productName",
        "quantity_on_hand": "unitsInStock",
        "quantity_on_order": "unitsOnOrder",
        "reorder_point": "reorderLevel",
        "unit_price": "unitPrice",
        "preferred_vendor_id": "to_string(supplier.id)",
    }
}


def inventory_config(base: str, style: str = "page") -> dict[str, Any]:
    paging = {"type": "page", "page_param": "page", "size_param": "size", "page_size": 20}
    return {
        "entities": {
            "inventory": {
                "url": f"{base}/{style}/products",
                "records_path": "items",
                "id_path": "productID",
                "pagination": paging,
            }
        }
    }


async def test_a_first_sync_inserts_every_row_and_the_second_writes_none(pipeline: Pipeline) -> None:
    state = JsonApiState.northwind()
    async with running(build_app(state)) as base:
        source = await pipeline.add_source(inventory_config(base), field_mappings=MAPPING)

        first = await pipeline.sync(source)

        truth = state.records("products")
        assert first.status == "succeeded", first
        assert first.entities["inventory"].inserted == first.entities["inventory"].read == len(truth) == 77
        before = await pipeline.rows("inventory", source)
        assert {row["external_id"]: row["quantity_on_hand"] for row in before} == {
            str(record["productID"]): record["unitsInStock"] for record in truth
        }

        second = await pipeline.sync(source)

        assert second.status == "succeeded"
        assert second.entities["inventory"].unchanged == 77
        assert second.entities["inventory"].inserted == second.entities["inventory"].updated == 0
        assert await pipeline.rows("inventory", source) == before
