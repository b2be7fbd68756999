"""The page chain's protocol as a state machine over the real code (the model of it is in docs/architecture.md's words).

Hypothesis plays the world: messages come twice, late and in any order, processes die at any border, others resume much
later as zombies, recovery replans at any time, and the source shifts under the read. Whatever it does, the run ends and
succeeds, every record that was there all the time is a living row, and the counters balance.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from random import Random
from typing import Any, ClassVar

import asyncpg
import pytest
from chain_world import QUEUES, ChainWorld, ScriptedSource, Worker, stepped_databases
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from shared.connector_sdk.protocol import Shape
from shared.messaging.topology import QueueName
from shared.storage.database import Database

numbers = st.integers(0, 999)
seeds = st.integers(0, 2**16)
STOPS = [
    ("the end", 1),
    ("the end", 1),
    ("after a transaction", 1),  # judged, or written
    ("after the call", 1),
    ("after a transaction", 2),  # recorded, or closed
    ("after publishing to transform", 1),
    ("before publishing to fetch", 1),  # all batches sent
]
"""Where a worker may be left standing: between two things that no transaction holds together."""
stops = st.sampled_from(STOPS)
KEYS = range(10, 150, 10)


class Ground:
    """The loop and the pools that all examples of a test share."""

    def __init__(self, database_url: str) -> None:
        self.runner = asyncio.Runner()
        self._url = database_url
        self.admin: asyncpg.Pool[asyncpg.Record]
        self.databases: dict[str, Database]

    def __enter__(self) -> "Ground":
        self.runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self._close())
        self.runner.close()

    async def _open(self) -> None:
        self.admin = await asyncpg.create_pool(self._url, min_size=1, max_size=2)
        self._stepped = stepped_databases(self._url)
        self.databases = await self._stepped.__aenter__()

    async def _close(self) -> None:
        await self._stepped.__aexit__(None, None, None)
        await self.admin.close()


@pytest.fixture
def ground(database_url: str) -> Iterator[Ground]:
    with Ground(database_url) as made:
        yield made


class PageChain(RuleBasedStateMachine):
    """One run. `number % length` chooses, and a rule that has nothing to do does nothing: which transaction wins is for
    Postgres to say, and Hypothesis may only draw what does not depend on it.
    """

    ground: ClassVar[Ground]
    page_size = 4
    max_workers = 4

    world: ChainWorld

    def __init__(self) -> None:
        super().__init__()
        self.repeats = self.replans = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.ground.runner.run(work)

    @initialize(
        rows_known=st.booleans(),
        shape=st.sampled_from(["pages", "pages", "spool"]),
        planned=numbers,
        max_repeats=st.sampled_from([0, 2, 6]),
        max_replans=st.sampled_from([0, 0, 1, 3]),
        seed=seeds,
    )
    def begin(
        self, rows_known: bool, shape: Shape, planned: int, max_repeats: int, max_replans: int, seed: int
    ) -> None:
        """More repeats only repeat what six show; and recovery hides what the chain should have done by itself."""
        self.world = ChainWorld(self.ground.admin, self.ground.databases, ScriptedSource(KEYS, self.page_size, shape))
        self.always_there = set(KEYS)
        self.ever_gone: set[int] = set()
        self.max_repeats, self.max_replans = max_repeats, max_replans
        self.dice = Random(seed)
        self.do(self.world.begin(KEYS if rows_known else []))
        if planned % 4:  # the chain is what matters most
            self.handle("requests", 0, STOPS[0])

    @property
    def waiting(self) -> list[tuple[QueueName, int]]:
        return [(queue, index) for queue in QUEUES for index in range(len(self.world.shelves.queues[queue]))]

    def handle(self, queue: QueueName, index: int, stop: tuple[str, int]) -> Worker:
        async def work() -> Worker:
            worker = self.world.start(queue, index)
            await self.world.go_on_to(worker, *stop)
            return worker

        return self.do(work())

    def end(self, worker: Worker) -> None:
        if worker in self.world.workers:
            self.do(self.world.die(worker))

    def worker(self, number: int) -> Worker | None:
        return self.world.workers[number % len(self.world.workers)] if self.world.workers else None

    @rule(number=numbers, stop=stops)
    def deliver(self, number: int, stop: tuple[str, int]) -> None:
        """A message comes to a worker, which goes on for a while."""
        if self.waiting and len(self.world.workers) < self.max_workers:
            self.handle(*self.waiting[number % len(self.waiting)], stop)

    @rule(number=numbers, stop=stops)
    def fetch(self, number: int, stop: tuple[str, int]) -> None:
        """The chain goes on, whatever else waits."""
        pages = len(self.world.shelves.queues["fetch"])
        if pages and len(self.world.workers) < self.max_workers:
            self.handle("fetch", number % pages, stop)

    @rule()
    def the_writer_catches_up(self) -> None:
        self.do(self.world.catch_up())

    @rule(number=numbers, stop=stops)
    def step(self, number: int, stop: tuple[str, int]) -> None:
        """One worker goes on for a while."""
        if worker := self.worker(number):
            self.do(self.world.go_on_to(worker, *stop))

    @rule()
    def step_all_at_once(self) -> None:
        """Their transactions meet in Postgres."""
        self.do(self.world.go_on(*self.world.workers))

    @rule(number=numbers)
    def die(self, number: int) -> None:
        if worker := self.worker(number):
            self.do(self.world.die(worker))

    @rule(number=numbers, stop=stops, writer_is_fast=st.booleans())
    def a_fetcher_dies(self, number: int, stop: tuple[str, int], writer_is_fast: bool) -> None:
        """The broker has what it sent; the writer may have written it before the message comes again."""
        if pages := len(self.world.shelves.queues["fetch"]):
            fetcher = self.handle("fetch", number % pages, stop)
            if writer_is_fast:
                self.the_writer_catches_up()
            self.end(fetcher)

    @rule(number=numbers)
    def arrive_twice(self, number: int) -> None:
        if self.waiting and self.repeats < self.max_repeats:
            queue, index = self.waiting[number % len(self.waiting)]
            self.world.shelves.queues[queue].append(self.world.shelves.queues[queue][index])
            self.repeats += 1

    @rule(number=numbers, stop=st.none() | stops, other_dies=st.booleans())
    def come_again_while_being_handled(self, number: int, stop: tuple[str, int] | None, other_dies: bool) -> None:
        """The broker lost the worker's connection: the worker lives on as a zombie, its message goes to another."""
        worker = self.worker(number)
        if worker is None or self.repeats == self.max_repeats:
            return
        self.world.shelves.queues[worker.queue].insert(0, worker.message)
        self.repeats += 1
        if stop is not None:
            other = self.handle(worker.queue, 0, stop)
            if other_dies:
                self.end(other)

    @rule()
    def replan(self) -> None:
        if self.replans < self.max_replans:
            self.do(self.world.replan())
            self.replans += 1

    @rule(number=numbers)
    def a_record_vanishes(self, number: int) -> None:
        if len(self.ever_gone) < 2:
            key = sorted(self.world.source.records)[number % len(self.world.source.records)]
            del self.world.source.records[key]
            self.always_there.discard(key)
            self.ever_gone.add(key)

    @rule(key=st.integers(1, 160))
    def a_record_appears_or_changes(self, key: int) -> None:
        self.world.source.records[key] = self.world.source.records.get(key, 0) + 1

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.do(self.world.settle(self.dice))
            self.do(self.world.check(self.always_there, self.ever_gone))
        finally:
            self.do(self.world.abandon())


def run_machine(ground: Ground, examples: int, steps: int, *, derandomize: bool) -> None:
    machine = type("BoundPageChain", (PageChain,), {"ground": ground})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # Its trace is in the error; making an example smaller takes minutes, which the long form has.
            phases=[Phase.generate] if derandomize else list(Phase),
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(300)
def test_whatever_happens_to_the_chain_the_run_ends_and_nothing_is_lost(ground: Ground) -> None:
    run_machine(ground, examples=45, steps=50, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_same_for_a_long_time(ground: Ground) -> None:
    run_machine(ground, examples=2_000, steps=70, derandomize=False)


@pytest.fixture
async def small_world(database_url: str) -> AsyncIterator[ChainWorld]:
    """A planned run of four pages; its first page waits."""
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=2) as admin,
        stepped_databases(database_url) as dbs,
    ):
        world = ChainWorld(admin, dbs, ScriptedSource(KEYS, 4))
        await world.begin(KEYS)
        await world.go_on_to(world.start("requests", 0), "the end")
        yield world
        await world.abandon()


async def test_a_page_that_is_committed_already_still_sends_its_follower(small_world: ChainWorld) -> None:
    """A fetcher that died between a page and its follower: to drop the repeated page would end the chain."""
    fetcher = small_world.start("fetch", 0)
    await small_world.go_on_to(fetcher, "before publishing to fetch")
    await small_world.catch_up()
    await small_world.die(fetcher)
    calls = small_world.source.calls

    await small_world.go_on_to(small_world.start("fetch", 0), "the end")
    assert small_world.source.calls == calls, "a committed page was fetched again"
    assert len(small_world.shelves.queues["fetch"]) == 1
    await small_world.settle(Random(1))
    await small_world.check(set(KEYS), set())


async def test_a_zombies_follower_does_not_speak_for_the_page_that_replaced_its_own(small_world: ChainWorld) -> None:
    """With the ledger's newer epoch the next page would be fetched although this one was never sent."""
    (message,) = small_world.shelves.queues["fetch"]
    zombie = small_world.start("fetch", 0)
    await small_world.go_on_to(zombie, "after a transaction", 2)
    small_world.shelves.queues["fetch"].append(message)
    replacing = small_world.start("fetch", 0)
    await small_world.go_on_to(replacing, "after a transaction", 2)
    await small_world.die(replacing)
    await small_world.go_on_to(zombie, "the end")
    _, follower = small_world.shelves.queues["fetch"]

    await small_world.go_on_to(small_world.start("fetch", 1), "the end")
    assert small_world.shelves.queues["fetch"] == [message], (follower, small_world.trace)
    await small_world.settle(Random(1))
    await small_world.check(set(KEYS), set())
