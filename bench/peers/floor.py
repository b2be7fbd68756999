"""The least that fetch, transform and write cost with a broker between them, written by hand for these six fields.

One process: typed decoding, no ledger, no counters, no rejects, no rate limit, no tenant; but durable quorum queues,
persistent messages, confirms, and acknowledgement after the next stage has it. Prints its own seconds.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator

import aio_pika
import aiohttp
import asyncpg
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

JOB = json.loads(os.environ["BENCH_JOB"])
PAGES = -(-JOB["rows"] // JOB["page"])
AT_ONCE, TOGETHER = 4, 10
"""Pages fetched ahead; pages written in one transaction."""

DDL = """
create schema if not exists floor;
create table if not exists floor.items (sku text primary key, name text, quantity integer, supplier text,
  unit_cost numeric, updated_at timestamptz);
create temp table stage (like floor.items) on commit delete rows"""
MERGE = """
insert into floor.items
select s.* from stage s left join lateral (select * from floor.items i where i.sku = s.sku offset 0) t on true
where t is null or t.* is distinct from s.*
on conflict (sku) do update set name = excluded.name, quantity = excluded.quantity, supplier = excluded.supplier,
  unit_cost = excluded.unit_cost, updated_at = excluded.updated_at"""


class Item(msgspec.Struct, gc=False, rename="camel"):
    part_number: str
    title: str
    on_hand: int
    supplier_ref: str
    cost_price: float
    modified_at: str


class Answer(msgspec.Struct):
    items: list[Item]


def copy_text(items: list[Item]) -> bytes:
    rows = [(i.part_number, i.title, str(i.on_hand), i.supplier_ref, str(i.cost_price), i.modified_at) for i in items]
    text = "\n".join("\t".join(row) for row in rows) + "\n"
    if text.count("\t") != 5 * len(rows) or text.count("\n") != len(rows) or "\\" in text:
        raise SystemExit("these records need escaping, which the floor leaves out")
    return text.encode()


async def fetch(channel: AbstractChannel) -> None:
    left = iter(range(1, PAGES + 1))
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            for number in left:
                url = f"{JOB['source']}/items?page={number}&size={JOB['page']}"
                async with session.get(url) as answer:
                    await publish(channel, "raw", await answer.read())

        await asyncio.gather(*(one() for _ in range(AT_ONCE)))


async def publish(channel: AbstractChannel, queue: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, JOB["prefix"] + queue)


async def arrivals(channel: AbstractChannel, name: str) -> "asyncio.Queue[AbstractIncomingMessage]":
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.get_queue(JOB["prefix"] + name)
    await queue.consume(arrived.put)
    return arrived


async def transform(channel: AbstractChannel) -> None:
    arrived, decoder = await arrivals(channel, "raw"), msgspec.json.Decoder(Answer)
    for _ in range(PAGES):
        message = await arrived.get()
        await publish(channel, "mapped", copy_text(decoder.decode(message.body).items))
        await message.ack()


async def write(channel: AbstractChannel, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    arrived, done = await arrivals(channel, "mapped"), 0
    while done < PAGES:
        batch = [await arrived.get()]
        while len(batch) < TOGETHER and not arrived.empty():
            batch.append(arrived.get_nowait())

        async def bodies(batch: list[AbstractIncomingMessage] = batch) -> AsyncIterator[bytes]:
            for message in batch:
                yield message.body

        async with connection.transaction():
            await connection.copy_to_table("stage", source=bodies())
            await connection.execute(MERGE)
        await batch[-1].ack(multiple=True)
        done += len(batch)


async def main() -> None:
    began = time.perf_counter()
    database = await asyncpg.connect(JOB["database"])
    await database.execute(DDL)
    async with await aio_pika.connect(JOB["amqp"]) as broker:
        channels = [await broker.channel() for _ in range(3)]
        for name in ("raw", "mapped"):
            await channels[0].declare_queue(JOB["prefix"] + name, durable=True, arguments={"x-queue-type": "quorum"})
        for channel in channels[1:]:
            await channel.set_qos(prefetch_count=2 * TOGETHER)
        await asyncio.gather(fetch(channels[0]), transform(channels[1]), write(channels[2], database))
        for name in ("raw", "mapped"):
            await channels[0].queue_delete(JOB["prefix"] + name)
    await database.close()
    print(json.dumps({"own_s": time.perf_counter() - began}))


if __name__ == "__main__":
    asyncio.run(main())
