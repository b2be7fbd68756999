"""Messages change only on purpose: committed schemas, and a corpus of what the public message has always been."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import shared.contracts.schemas
from shared.contracts.messages import SyncRequested, decode, encode
from shared.contracts.schemas import rendered, schema
from shared.errors import PoisonMessageError

COMMITTED = Path(shared.contracts.schemas.__file__).parent
CORPUS: dict[str, list[Any]] = json.loads(
    (Path(__file__).parent / "public_messages" / "sync.requested.json").read_text()
)


def test_the_committed_schemas_are_those_of_the_models() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in COMMITTED.glob("*.json")}

    assert committed == rendered(), "run `python -m shared.contracts.schemas`, and review the difference"


@pytest.mark.parametrize("text", rendered().values(), ids=rendered().keys())
def test_each_schema_is_one(text: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("payload", CORPUS["accepted"])
def test_what_was_ever_accepted_stays_accepted(payload: dict[str, Any]) -> None:
    """Add payloads here, never remove one: somebody's gateway sends it."""
    message = decode(SyncRequested, json.dumps(payload).encode())

    jsonschema.validate(payload, schema(SyncRequested))
    assert decode(SyncRequested, encode(message)) == message


@pytest.mark.parametrize("case", CORPUS["refused"], ids=lambda case: case["because"])
def test_what_is_refused_says_which_field_is_wrong(case: dict[str, Any]) -> None:
    with pytest.raises(PoisonMessageError) as refused:
        decode(SyncRequested, json.dumps(case["payload"]).encode())

    assert refused.value.message.startswith(f"sync.requested: {case['because']}")


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(PoisonMessageError, match="not JSON"):
        decode(SyncRequested, b"\xff{")
