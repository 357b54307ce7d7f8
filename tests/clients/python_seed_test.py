"""The examples of the guide to the old layer, told again for the Python package: the calls are those of the
bot's cogs, and only where Database and repositories are made something is another. Tables and columns are
those that there are; the guide has some that never were."""

import asyncio
import datetime
import unittest

from package import Case
from seed_data import CHANNEL, GUILD, MESSAGE, SAVED, USER
from twi_data import Database, DatabaseError
from twi_data.repositories import CreatorLinkRepository, GalleryMementosRepository, GalleryMigrationRepository

import server as program


class Bot:
    """What the cogs see of it."""

    def __init__(self, target):
        # Here was a pool of asyncpg, and a factory of SQLAlchemy's sessions.
        self.db = Database(target)


class Cog:

    def __init__(self, bot):
        self.bot = bot
        self.migration_repo = GalleryMigrationRepository(bot.db)
        self.mementos_repo = GalleryMementosRepository(bot.db)
        self.creator_links_repo = CreatorLinkRepository(bot.db)
        self.cache = []

    async def cog_load(self):
        self.cache = await self.bot.db.fetch("SELECT * FROM gallery_mementos")

    # Raw access.

    async def channels(self, guild_id):
        return await self.bot.db.fetch("SELECT * FROM gallery_mementos WHERE guild_id = $1", guild_id)

    async def message(self, message_id):
        return await self.bot.db.fetchrow("SELECT * FROM messages WHERE message_id = $1", message_id)

    async def message_count(self, channel_id):
        return await self.bot.db.fetchval("SELECT COUNT(*) FROM messages WHERE channel_id = $1", channel_id)

    async def add_channel(self, channel_name, channel_id, guild_id):
        return await self.bot.db.execute(
            "INSERT INTO gallery_mementos(channel_name, channel_id, guild_id) VALUES($1, $2, $3)",
            channel_name, channel_id, guild_id)

    # Repositories.

    async def entry_title(self, message_id):
        entry = await self.migration_repo.get_by_message_id(message_id)
        if entry:
            return f"Found entry: {entry.title}"
        return None

    async def user_data(self, user_id):
        try:
            return await self.creator_links_repo.get_by_user_id(user_id)
        except DatabaseError as e:
            raise RuntimeError(f"Could not retrieve user data: {e}") from e

    # Transactions.

    async def both(self, name, fails=False):
        async with await self.bot.db.transaction():
            await self.bot.db.execute("INSERT INTO table1(name, value) VALUES($1, $2)", name, 1)
            await self.bot.db.execute("UPDATE table2 SET value = value + 1 WHERE name = $1", "b")
            if fails:
                raise ValueError(name)

    async def queries(self):
        queries = [
            ("INSERT INTO table1(name, value) VALUES($1, $2)", ("example1", 100)),
            ("UPDATE table2 SET value = value + $1 WHERE name = $2", (50, "example1")),
        ]
        await self.bot.db.execute_in_transaction(queries)

    async def transfer_data(self, from_name, to_name):
        async with self.bot.db.transaction() as transaction:
            await transaction.conn.execute("UPDATE table2 SET active = false WHERE name = $1", from_name)
            await transaction.conn.execute("UPDATE table2 SET active = true WHERE name = $1", to_name)

    async def reaction(self, message_id, user_id):
        """As the listener of reactions does it."""
        async with await self.bot.db.transaction() as trans:
            await trans.conn.execute(
                "INSERT INTO reactions(unicode_emoji, message_id, user_id, emoji_name, date) "
                "VALUES($1, $2, $3, $4, $5) ON CONFLICT (message_id, user_id, unicode_emoji) "
                "DO UPDATE SET removed = FALSE", "👍", message_id, user_id, "👍", datetime.datetime.now())

    # Many rows.

    async def save_users(self, users):
        records = [(user_id, name, datetime.datetime(2020, 1, 1), False) for user_id, name in users]
        await self.bot.db.execute_many(
            "INSERT INTO users(user_id, username, created_at, bot) VALUES($1, $2, $3, $4) "
            "ON CONFLICT DO NOTHING", records)

    async def save_messages(self, numbers):
        records = [(5000 + n, f"Copied {n}", datetime.datetime(2020, 1, 1), "Erin", "Guild", GUILD, 201,
                    "other", USER, "https://discord.com", False) for n in numbers]
        await self.bot.db.copy_records_to_table("messages", records=records, columns=[
            "message_id", "content", "created_at", "user_name", "server_name", "server_id", "channel_id",
            "channel_name", "user_id", "jump_url", "is_bot"])


class SeedExamples(Case):

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.psql("truncate gallery_mementos, gallery_migration, messages, reactions, users, servers, "
                  "channels cascade;")
        self.psql(SAVED.format(guild=GUILD, channel=CHANNEL, message=MESSAGE, user=USER))
        self.psql("drop table if exists table1, table2;"
                  "create table table1 (name text primary key, value int);"
                  "create table table2 (name text primary key, value int, active bool);"
                  "insert into table2 values ('example1', 7, true), ('b', 1, false)")
        self.bot = Bot(self.server.grpc)
        self.addAsyncCleanup(self.bot.db.close)
        self.cog = Cog(self.bot)

    async def test_raw_access(self):
        self.assertEqual(await self.cog.channels(GUILD), [])
        self.assertEqual(await self.cog.add_channel("art", CHANNEL, GUILD), "INSERT 0 1")
        row, = await self.cog.channels(GUILD)
        self.assertEqual((row["channel_name"], row["channel_id"], row["guild_id"]), ("art", CHANNEL, GUILD))
        await self.cog.cog_load()
        self.assertEqual(self.cog.cache, [row])
        found = await self.cog.message(MESSAGE)
        self.assertEqual((found["content"], found["deleted"], found["is_bot"]), ("Text 0", False, False))
        self.assertIsInstance(found["created_at"], datetime.datetime)
        self.assertIsNone(await self.cog.message(1))
        self.assertEqual(await self.cog.message_count(CHANNEL), 5)

    async def test_repositories(self):
        self.assertIsNone(await self.cog.entry_title(7))
        created = await self.cog.migration_repo.bulk_create_entries([
            {"message_id": 7, "channel_id": CHANNEL, "channel_name": "art", "guild_id": GUILD,
             "title": "Innkeeper"}] * 2)
        self.assertEqual(created, 1)
        self.assertEqual(await self.cog.entry_title(7), "Found entry: Innkeeper")
        stats = await self.cog.migration_repo.get_statistics()
        self.assertEqual((stats["total_entries"], stats["migration_progress"]), (1, 0))
        self.assertEqual(await self.cog.user_data(USER), [])
        await self.cog.mementos_repo.create("art", CHANNEL, GUILD)
        self.assertEqual((await self.cog.mementos_repo.get_by_channel_id(CHANNEL)).channel_name, "art")

    async def test_transactions(self):
        await self.cog.both("done")
        with self.assertRaises(ValueError):
            await self.cog.both("undone", fails=True)
        self.assertEqual(self.psql("select string_agg(name, ',') from table1"), "done")
        self.assertEqual(self.psql("select value from table2 where name = 'b'"), "2")
        await self.cog.queries()
        self.assertEqual(self.psql("select value from table2 where name = 'example1'"), "57")
        await self.cog.transfer_data("example1", "b")
        self.assertEqual(self.psql("select string_agg(name, ',') from table2 where active"), "b")

    async def test_listeners(self):
        """More reactions at the same time than a server has transactions; they wait for each other."""
        for _ in range(2):
            await asyncio.gather(*(self.cog.reaction(MESSAGE, USER + n) for n in range(30)))
        self.assertEqual(self.count("reactions"), 30)

    async def test_bulk(self):
        users = [(1000 + n, f"User {n}") for n in range(500)]
        for _ in range(2):
            await self.cog.save_users(users)
        self.assertEqual(self.count("users"), 501)
        await self.cog.save_messages(range(500))
        self.assertEqual(await self.cog.message_count(201), 500)

    async def test_error_handling(self):
        self.psql("alter table creator_links rename to hidden")
        try:
            with self.assertRaisesRegex(RuntimeError, "Could not retrieve"):
                await self.cog.user_data(USER)
        finally:
            self.psql("alter table hidden rename to creator_links")

    async def test_query_building(self):
        for n in range(5):
            await self.cog.add_channel(f"page {n}", 9000 + n, 9)
        page = ("SELECT channel_name FROM gallery_mementos WHERE guild_id = $1 "
                "ORDER BY channel_name LIMIT $2 OFFSET $3")
        self.assertEqual([row["channel_name"] for row in await self.bot.db.fetch(page, 9, 2, 2)],
                         ["page 2", "page 3"])

    async def test_views_and_caching(self):
        db = self.bot.db
        self.assertEqual(program.run("optimize", "base", f"--dsn={self.server.dsn}").returncode, 0)
        await db.apply_additional_optimizations()
        await db.refresh_materialized_views()
        results = await db.fetch("SELECT * FROM user_channel_activity WHERE user_id = $1", USER)
        self.assertEqual([row["message_count"] for row in results], [5])
        self.assertTrue(await db.fetch("SELECT * FROM weekly_message_stats WHERE server_id = $1", GUILD))
        results = await db.fetch("SELECT * FROM messages WHERE channel_id = $1", CHANNEL, use_cache=False)
        self.assertEqual(len(results), 5)
        await db.execute("UPDATE messages SET content = $1 WHERE channel_id = $2", "new", CHANNEL)
        results = await db.fetch("SELECT * FROM messages WHERE channel_id = $1", CHANNEL)
        self.assertEqual({row["content"] for row in results}, {"new"})
        stats = await db.get_cache_stats()
        self.assertTrue(f"Cache hit rate: {stats['hit_rate']}%")
        self.assertIsInstance(stats["hits"], int)

    async def test_prepared_statements(self):
        stmt = await self.bot.db.prepare_statement("get_user", "SELECT * FROM users WHERE user_id = $1")
        user = await stmt.fetchrow(USER)
        self.assertEqual(user["username"], "Erin")
        self.assertIsNotNone(await stmt.fetchval(USER))
        self.assertEqual(await stmt.fetch(USER), [user])
        await stmt.execute(USER)

    async def test_health(self):
        self.assertIs(await self.bot.db.check_connection_health(), True)
        await self.bot.db.validate_connections()

    async def test_a_thousand_messages_at_once(self):
        """The bot's own test of load: what it sends is there, in gathers of fifty."""
        sql = ("INSERT INTO messages(message_id, created_at, content, user_name, server_name, server_id, "
               "channel_id, channel_name, user_id, jump_url, is_bot) "
               "VALUES($1, now(), $2, 'Erin', 'Guild', $3, 300, 'load', $4, 'https://discord.com', false)")
        for first in range(0, 1000, 50):
            await asyncio.gather(*(self.bot.db.execute(sql, 90000 + n, f"Text {n}", GUILD, USER)
                                   for n in range(first, first + 50)))
        self.assertEqual(await self.cog.message_count(300), 1000)


if __name__ == "__main__":
    unittest.main()
