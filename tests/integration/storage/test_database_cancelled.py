"""A caller that is told to end while it talks to PostgreSQL does end, and no connection of the pool is lost by it."""

from cancelling import swallowed_ends

from shared.storage.database import open_database


async def test_whoever_asks_can_be_cancelled_at_any_moment(database_url: str) -> None:
    async with open_database(database_url, role="headrace_writer", max_size=1) as database:

        async def write() -> None:
            async with database.transaction() as connection:
                await connection.execute("create temporary table probe (number int) on commit drop")
                await connection.copy_records_to_table("probe", records=[(1,)] * 10)
                await connection.fetch("select * from probe")

        assert await database.ping()
        assert await swallowed_ends(lambda: database.fetch("select 1")) == []
        assert await swallowed_ends(write) == []
        assert await database.ping()
