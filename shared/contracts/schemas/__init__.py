"""JSON Schemas of all messages, generated from the models and committed, so that a change of a message is seen.

Written anew by `python -m shared.contracts.schemas`.
"""

import json
from typing import Any

from shared.contracts.messages import MESSAGES, MessageModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(model: type[MessageModel]) -> dict[str, Any]:
    """What a body of this message may be."""
    return {"$schema": DIALECT, "$id": f"urn:headrace:message:{model.KIND}:v1", **model.model_json_schema()}


def rendered() -> dict[str, str]:
    """File name to the text of its schema, one per message."""
    return {
        f"{model.KIND}.json": json.dumps(schema(model), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for model in MESSAGES
    }
