"""The public message, as somebody's gateway was built against it: the AsyncAPI document and the frozen schema."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from additive import breaks

from shared.contracts.messages import SyncRequested, decode
from shared.contracts.schemas import schema
from shared.messaging.topology import PUBLIC_EXCHANGE, PUBLIC_KINDS

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "asyncapi.json").read_text())
FROZEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "public_messages" / "sync.requested.v1.schema.json").read_text()
)
EXAMPLES = DOCUMENT["components"]["messages"]["syncRequested"]["examples"]
Change = Callable[[dict[str, Any]], object]


def test_the_document_holds_the_committed_schema() -> None:
    committed = schema(SyncRequested)
    del committed["$schema"], committed["$id"]  # where it lives; the document has its own dialect

    assert DOCUMENT["components"]["schemas"] == {"SyncRequested": committed}


def test_the_document_names_the_exchange_and_the_routing_keys() -> None:
    channels = DOCUMENT["channels"].values()

    assert [channel["address"] for channel in channels] == list(PUBLIC_KINDS)
    for channel in channels:
        exchange = channel["bindings"]["amqp"]["exchange"]
        assert (exchange["name"], exchange["type"], exchange["durable"]) == (PUBLIC_EXCHANGE, "topic", True)


def test_references_in_the_document_lead_somewhere() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            found = [node["$ref"]] if "$ref" in node else []
            return found + [reference for child in node.values() for reference in references(child)]
        return [reference for child in node for reference in references(child)] if isinstance(node, list) else []

    found = references(DOCUMENT)
    assert found
    for reference in found:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_the_examples_are_accepted(example: dict[str, Any]) -> None:
    jsonschema.validate(example["payload"], DOCUMENT["components"]["schemas"]["SyncRequested"])
    decode(SyncRequested, json.dumps(example["payload"]).encode())


def test_the_schema_has_only_grown_since_it_was_published() -> None:
    """Raise `version` for any other change, keep reading the old one for a release, and freeze a second file."""
    assert breaks(FROZEN, schema(SyncRequested)) == []


ADDITIVE: dict[str, Change] = {
    "an optional field": lambda it: it["properties"].update(note={"type": "string"}),
    "another entity": lambda it: it["properties"]["entities"]["anyOf"][0]["items"]["enum"].append("customers"),
    "more items": lambda it: it["properties"]["entities"]["anyOf"][0].update(maxItems=4),
    "an empty list": lambda it: it["properties"]["entities"]["anyOf"][0].pop("minItems"),
    "a field less required": lambda it: it["required"].remove("requested_at"),
    "another way to say it": lambda it: it["properties"]["mode"]["anyOf"].append({"type": "integer"}),
    "any field": lambda it: it.pop("additionalProperties"),
    "other words": lambda it: it.update(description="else", title="Else"),
    "no format": lambda it: it["properties"]["source_id"].pop("format"),
}
BREAKING: dict[str, Change] = {
    "a field is gone": lambda it: it["properties"].pop("run_id"),
    "a field is required": lambda it: it["required"].append("mode"),
    "a new required field": lambda it: (it["properties"].update(n={"type": "string"}), it["required"].append("n")),
    "an entity is gone": lambda it: it["properties"]["entities"]["anyOf"][0]["items"]["enum"].remove("vendors"),
    "fewer items": lambda it: it["properties"]["entities"]["anyOf"][0].update(maxItems=2),
    "no null": lambda it: it["properties"]["run_id"]["anyOf"].pop(),
    "another type": lambda it: it["properties"]["source_id"].update(type="integer"),
    "a format": lambda it: it["properties"]["trigger"].update(format="uuid"),
    "another constant": lambda it: it["properties"]["version"].update(const=2),
    "another default": lambda it: it["properties"]["mode"].update(default="full"),
    "a pattern": lambda it: it["properties"]["user_id"].update(pattern="^0"),
    "another name": lambda it: it.update({"$id": "urn:headrace:message:sync.requested:v2"}),
    "a new enumeration": lambda it: it["properties"]["trigger"].update(enum=["external"]),
}


@pytest.mark.parametrize("change", ADDITIVE.values(), ids=ADDITIVE.keys())
def test_what_only_adds_may_change(change: Change) -> None:
    changed = copy.deepcopy(FROZEN)
    change(changed)

    assert changed != FROZEN
    assert breaks(FROZEN, changed) == []


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING.keys())
def test_what_breaks_a_sender_is_found(change: Change) -> None:
    changed = copy.deepcopy(FROZEN)
    change(changed)

    assert breaks(FROZEN, changed) != []
