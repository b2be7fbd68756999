"""The test of a source, in as few calls as tell the truth: one by REST, one by GraphQL, and each report's beginning."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from shared.connector_sdk.json_body import parse_json
from shared.connectors.finale.account import Account
from shared.connectors.finale.reports import Reports
from shared.contracts.ids import Entity
from shared.errors import AuthenticationError, ConfigurationError, DataError, HeadraceError, ParkError, RetryableError

Outcome = int | HeadraceError
Check = Callable[[Entity], Awaitable[int]]

_VIEWS: Final[Mapping[Entity, str]] = {
    "inventory": "productViewConnection(first: 1) { edges { node { productUrl } } }",
    "vendors": 'partyViewConnection(role: ["SUPPLIER"], first: 1) { edges { node { partyUrl } } }',
    "purchase_orders": 'orderViewConnection(type: ["PURCHASE_ORDER"], first: 1) { edges { node { orderUrl } } }',
}


def access_calls(entities: Sequence[Entity], reports: Reports) -> Mapping[str, int]:
    """At most: where GraphQL does not answer, each entity is asked for by REST."""
    by_report = sum(entity in reports for entity in entities)
    collections = len(entities) + by_report
    calls = {"collection": collections, "get": collections, "post": 1}
    return calls | ({"report": by_report} if by_report else {})


async def access_together(
    account: Account, reports: Reports, entities: Sequence[Entity], by_rest: Check, by_report: Check
) -> dict[Entity, Outcome]:
    """What each entity's sample holds, or what is wrong. Raises PlatformAwayError, and ParkError of all but reports."""
    first, *others = entities
    found: dict[Entity, Outcome] = {first: await _outcome(by_rest, first)}
    if isinstance(found[first], AuthenticationError | ConfigurationError):
        return dict.fromkeys(entities, found[first])  # of the key, the plan or the account
    found |= await _sampled(account, others, by_rest)
    # A run is reading a report of this account, for minutes, or no call is left for one: ours is left to the first run.
    with suppress(ParkError):
        for entity in entities:
            if entity in reports and isinstance(found[entity], int):
                begun = await _outcome(by_report, entity)
                found[entity] = begun or found[entity]  # of a report that takes long nothing is known
    return found


async def _outcome(check: Check, entity: Entity) -> Outcome:
    try:
        return await check(entity)
    except (AuthenticationError, ConfigurationError, DataError, RetryableError) as error:
        return error


async def _sampled(account: Account, entities: Sequence[Entity], by_rest: Check) -> dict[Entity, Outcome]:
    """By one query. Where that tells nothing, entity by entity, as a run reads them."""
    if not entities:
        return {}
    query = "query { " + " ".join(f"{entity}: {_VIEWS[entity]}" for entity in entities) + " }"
    try:
        counts = _counts(parse_json(await account.query({"query": query})), entities)
    except (AuthenticationError, ConfigurationError, DataError, RetryableError):
        counts = None
    if counts is not None:
        return dict(counts)
    return {entity: await _outcome(by_rest, entity) for entity in entities}


def _counts(answer: Any, entities: Sequence[Entity]) -> dict[Entity, int] | None:
    data = answer.get("data") if isinstance(answer, dict) and not answer.get("errors") else None
    if not isinstance(data, dict):
        return None
    found: dict[Entity, int] = {}
    for entity in entities:
        view = data.get(entity)
        edges = view.get("edges") if isinstance(view, dict) else None
        if not isinstance(edges, list):
            return None
        found[entity] = len(edges)
    return found
