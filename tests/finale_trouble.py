"""Accounts of Finale in trouble: how a run has to end, and that not a row changes by it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from finale_truth import TRUTHS, Rows, assert_equal, stored

from pipeline import Pipeline
from sandboxes.behaviour.faults import FaultRule
from sandboxes.finale.app import build_app
from sandboxes.finale.generated import Size, filling
from sandboxes.finale.spoils import Spoil
from sandboxes.finale.state import FinaleState
from sandboxes.finale.switches import Switches
from sandboxes.serving import running
from shared.contracts.ids import ENTITIES, Entity, SourceId

TINY = Size(products=12, vendors=4, customers=1, purchase_orders=10, sales_orders=2, locations=1, sublocations=2)
CREDENTIALS = {"api_key": "key", "api_secret": "secret"}
Configure = Callable[[str], dict[str, Any]]


def by_rest(url: str) -> dict[str, Any]:
    """The config of a source that reads by REST."""
    return {"account": "acme", "base_url": url, "time_zone": "America/New_York"}


@dataclass(frozen=True)
class Case:
    """What goes wrong, and how the run ends: the entities that fail, why, and a word of the message or hint."""

    trouble: FaultRule | Spoil
    category: str
    says: str
    failed: frozenset[str] = frozenset({"inventory"})


@dataclass
class Shop:
    """One account with a source on it that was synced once."""

    state: FinaleState
    source: SourceId
    before: dict[str, Rows]

    def trouble(self, trouble: FaultRule | Spoil) -> None:
        if isinstance(trouble, Spoil):
            self.state.spoils.set(trouble)
        else:
            self.state.behaviour.faults.set(trouble)


async def rows_of(pipeline: Pipeline, source: SourceId) -> dict[str, Rows]:
    return {entity: await stored(pipeline, entity, source) for entity in TRUTHS}


@asynccontextmanager
async def shop(
    pipeline: Pipeline,
    configure: Configure = by_rest,
    switches: Switches | None = None,
    entities: tuple[Entity, ...] = ENTITIES,
) -> AsyncIterator[Shop]:
    state = FinaleState(filling(TINY), switches=switches or Switches())
    async with running(build_app(state)) as url:
        source = await pipeline.add_source(configure(url), CREDENTIALS, source_type="finale_inventory")
        view = await pipeline.sync(source, entities=entities)
        assert view.status == "succeeded", view
        before = await rows_of(pipeline, source)
        for entity in entities:
            assert_equal(entity, before[entity], TRUTHS[entity](state))
        yield Shop(state, source, before)


async def assert_ends_in_words(
    pipeline: Pipeline,
    cases: Mapping[str, Case],
    configure: Callable[[str], Configure] = lambda _: by_rest,
    switches: Switches | None = None,
    entities: tuple[Entity, ...] = ENTITIES,
) -> None:
    """Several at once, each on an account of its own: some are tried again for half a minute first."""
    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(
            *(stack.enter_async_context(shop(pipeline, configure(name), switches, entities)) for name in cases)
        )
        shops = dict(zip(cases, opened, strict=True))
        for name, case in cases.items():
            shops[name].trouble(case.trouble)

        async def run(name: str, case: Case) -> str:
            mine = shops[name]
            view = await pipeline.sync(mine.source, mode="full", entities=entities, within=110)
            found = {entity for entity, counted in view.entities.items() if counted.status == "failed"}
            due = case.failed & set(entities)
            told = f"{view.error.message} {view.error.hint}" if view.error else ""
            problems = [
                found != due and f"failed: {found}",
                view.status != ("failed" if due == set(entities) else "partial") and f"status {view.status}",
                (view.error is None or view.error.category != case.category) and f"error {view.error}",
                case.says not in told and f"says {told}",
                (view.error is None or not view.error.hint) and case.category != "NETWORK_ERROR" and
                "empty" not in told and "JSON" not in told and "cut" not in told and f"no hint: {told}",
                await rows_of(pipeline, mine.source) != mine.before and "rows changed",
                any(counted.deleted for counted in view.entities.values()) and "deleted",
            ]  # fmt: skip
            return "".join(f"\n{name}: {problem}" for problem in problems if problem)

        wrong = await asyncio.gather(*(run(name, case) for name, case in cases.items()))
        assert not any(wrong), "".join(wrong)

        async def heal(name: str) -> str:
            shops[name].state.spoils.set()
            shops[name].state.behaviour.faults.set()
            view = await pipeline.sync(shops[name].source, mode="full", entities=entities, within=60)
            return "" if view.status == "succeeded" else f"\n{name}: {view.status} {view.error}"

        wrong = await asyncio.gather(*map(heal, cases))
        assert not any(wrong), "".join(wrong)
        for mine in shops.values():
            assert await rows_of(pipeline, mine.source) == mine.before


async def assert_is_waited_for(
    pipeline: Pipeline,
    passing: list[FaultRule | Spoil],
    configure: Configure = by_rest,
    switches: Switches | None = None,
    entities: tuple[Entity, ...] = ENTITIES,
) -> None:
    """What passes changes nothing but the time: every row arrives, an edited one too."""
    async with AsyncExitStack() as stack:
        shops = await asyncio.gather(
            *(stack.enter_async_context(shop(pipeline, configure, switches, entities)) for _ in passing)
        )

        async def run(mine: Shop, trouble: FaultRule | Spoil) -> str:
            mine.trouble(trouble)
            mine.state.edit_product(mine.state.records("product")[0]["productUrl"], internalName="Edited")
            view = await pipeline.sync(mine.source, mode="full", entities=entities, within=90)
            for entity in entities:
                assert_equal(entity, await stored(pipeline, entity, mine.source), TRUTHS[entity](mine.state))
            return "" if view.status == "succeeded" else f"\n{trouble}: {view.status} {view.error}"

        wrong = await asyncio.gather(*(run(mine, trouble) for mine, trouble in zip(shops, passing, strict=True)))
        assert not any(wrong), "".join(wrong)
