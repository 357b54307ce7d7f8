"""The Python package: tokens, TLS, and servers that go and come."""

import asyncio
import unittest

import grpc
from package import Asynchronous
from twi_data import Database, errors
from twi_data.repositories import LinkRepository

import guarded
import server as program

PRINCIPALS = """
principal { name: "bot" allow: "*" raw_sql: true administration: true certificate: "bot.twi.internal" }
principal { name: "reader" allow: "*" read_only: true raw_sql: true }
principal { name: "links" allow: "LinksService/*" }
"""


class Guarded(Asynchronous):

    def setUp(self):
        self.guard = self.enterContext(guarded.Guard(PRINCIPALS, ["bot", "reader", "links"]))

    def serve(self, **options):
        return self.enterContext(program.Server(*self.guard.flags(**options)))

    async def open(self, server, principal=None, tls=None):
        token = principal and self.guard.tokens[principal].text
        return await self.enterAsyncContext(Database(server.grpc, token, tls))

    async def test_tokens(self):
        server = self.serve(tls=False)
        bot, reader, links = [await self.open(server, name) for name in ("bot", "reader", "links")]
        await bot.execute("create table t (id int)")
        async with bot.transaction():
            await bot.execute_many("insert into t values ($1)", [(1,)])
            await bot.copy_records_to_table("t", [(2,)])
        pages = [page async for page in bot.paginate("select id from t order by id")]
        self.assertEqual(pages, [[(1,), (2,)]])
        await bot.validate_connections()

        self.assertEqual(await reader.fetchval("select count(*) from t"), 2)
        with self.assertRaises(errors.DatabaseError) as context:
            await reader.execute("insert into t values (3)")
        self.assertIsInstance(context.exception, (errors.InsufficientPrivilegeError,
                                                  errors.ReadOnlySQLTransactionError))

        self.assertEqual(await LinkRepository(links).get_all(), [])
        error = await self.refused(errors.InsufficientPrivilegeError, links.fetch("select 1"))
        self.assertEqual((error.code, error.reason), ("PERMISSION_DENIED", "NOT_GRANTED"))
        async with await self.open(server) as nobody:
            # Health is open to all.
            self.assertTrue(await nobody.health())
            await self.refused(errors.InvalidAuthorizationSpecificationError, nobody.fetch("select 1"))
        self.assertNotIn(self.guard.tokens["bot"].text, repr(bot) + repr(error))

    async def test_tls(self):
        server = self.serve()
        authority = self.guard.authority.pair.certificate
        bot = await self.open(server, "bot", authority)
        self.assertEqual(await bot.fetchval("select 1"), 1)
        pair = self.guard.issue("DNS:bot.twi.internal")
        credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in (
            authority, pair.key, pair.certificate)))
        self.assertEqual(await (await self.open(server, tls=credentials)).fetchval("select 2"), 2)
        # Whom the system trusts did not sign that server, and it speaks to nobody without TLS.
        for tls in True, None:
            other = Database(server.grpc, self.guard.tokens["bot"].text, tls, connect_timeout=1)
            self.assertFalse(await other.health())
            await self.refused(errors.ServerUnavailableError, other.fetch("select 1"))
            await other.close()
        with self.assertRaises(FileNotFoundError):
            Database(server.grpc, tls="nothing.crt")


class Restarts(Asynchronous):

    async def test_a_server_that_goes_and_comes(self):
        server = self.enterContext(program.Server())
        server.flags[0] = f"--listen={server.grpc}"
        db = await self.enterAsyncContext(Database(server.grpc))
        await db.execute("create table t (id int)")
        statement = await db.prepare_statement("count", "select count(*) from t")
        with self.assertRaises(errors.DatabaseError):
            async with db.transaction():
                await db.execute("insert into t values (1)")
                await asyncio.to_thread(server.kill)
                await db.execute("insert into t values (2)")
        self.assertFalse(await db.health())
        await asyncio.to_thread(server.start)
        # It finds the server again by itself, and names mean there what they meant before.
        async with asyncio.timeout(60):
            while not await db.health():
                await asyncio.sleep(0.05)
        self.assertEqual(await statement.fetchval(), 0)
        async with db.transaction():
            await db.execute("insert into t values (3)")
        self.assertEqual(await statement.fetchval(), 1)


if __name__ == "__main__":
    unittest.main()
