"""The Python package: what its calls raise, and when."""

import asyncio
import socket
import unittest

from package import Case
from twi_data import Database, DatabaseError, errors
from twi_data.contract import message

import server as program


class Errors(Case):

    async def test_kinds(self):
        self.psql("insert into t values (1); create table child (id bigint references t, "
                  "exclude using btree (id with =))")
        for kind, sqlstate, sql in (
                (errors.UniqueViolationError, "23505", "insert into t values (1)"),
                (errors.ForeignKeyViolationError, "23503", "insert into child values (2)"),
                (errors.NotNullViolationError, "23502", "insert into t values (2, null)"),
                (errors.CheckViolationError, "23514", "insert into t values (2, repeat('x', 100))"),
                (errors.ExclusionViolationError, "23P01", "insert into child values (1), (1)"),
                (errors.UndefinedTableError, "42P01", "select * from nothing"),
                (errors.UndefinedColumnError, "42703", "select nothing from t"),
                (errors.UndefinedFunctionError, "42883", "select nothing(1)"),
                (errors.DataError, "22012", "select 1 / 0"),
                (errors.PostgresSyntaxError, "42601", "selec 1")):
            with self.subTest(sql=sql):
                error = await self.refused(kind, self.db.execute(sql))
                self.assertEqual(error.sqlstate, sqlstate)
                self.assertIsInstance(error, DatabaseError)
        self.assertEqual(error.code, "INVALID_ARGUMENT")

    async def test_what_is_told(self):
        self.psql("insert into t values (1)")
        error = await self.refused(errors.UniqueViolationError,
                                   self.db.execute("insert into t values (1, 'secret')"))
        self.assertIsInstance(error, errors.IntegrityConstraintViolationError)
        self.assertEqual((error.code, error.reason, error.constraint, error.table_name),
                         ("ALREADY_EXISTS", "ROW_EXISTS", "t_pkey", "t"))
        self.assertEqual(error.constraint_name, error.constraint)
        self.assertIsNone(error.detail)
        self.assertNotIn("secret", str(error) + repr(error.metadata))
        self.assertTrue(error.message)

    async def test_arguments(self):
        for sql, args in (("select $1::int", ()), ("select 1", (1,)), ("select $1::int", ("abc",)),
                          ("select $1::int", (object(),)), ("select $1::text", ("\0",)),
                          ("select $1::text", ("\ud800",)), ("select $1::bigint", (1 << 63,)),
                          ("select $1::int[]", (["a"],)), ("select $1::date", ("2026-02-30",))):
            with self.subTest(sql=sql, args=args):
                error = await self.refused(errors.DataError, self.db.fetch(sql, *args))
                self.assertNotIn("Exception iterating", str(error))
        for call in self.db.execute_many, self.db.copy_records_to_table:
            error = await self.refused(errors.DataError, call(
                "insert into t values ($1)" if call == self.db.execute_many else "t", [(1,), (object(),)]))
            self.assertEqual(error.metadata["row"], "2")
        self.assertEqual(self.count(), 0)

    async def test_no_server(self):
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        async with asyncio.timeout(60):
            db = Database(f"127.0.0.1:{port}", connect_timeout=0.2)
            self.assertFalse(await db.health())
            error = await self.refused(errors.ServerUnavailableError, db.fetch("select 1"))
            self.assertIsInstance(error, ConnectionError)
            with self.assertRaises(errors.ServerUnavailableError):
                async with db.transaction():
                    self.fail("there is nobody to begin it")
            with self.assertRaises((errors.QueryTimeoutError, errors.ServerUnavailableError)):
                await db.connect()
            await db.close()

    async def test_closed(self):
        db = Database(self.server.grpc)
        self.assertEqual(await db.fetchval("select 1"), 1)
        await db.close()
        await self.refused(errors.InterfaceError, db.fetch("select 1"))
        await db.close()

    async def test_closed_meanwhile(self):
        """Who waits is told, and not cancelled."""
        async def transaction(db):
            async with db.transaction():
                await db.execute("select pg_sleep(60), 'closed'")

        for work in (lambda db: db.fetch("select pg_sleep(60), 'closed'"), transaction):
            db = Database(self.server.grpc)
            task = asyncio.create_task(work(db))
            await self.begun("closed")
            await db.close()
            await self.refused(errors.InterfaceError, task)
            self.assertTrue(program.eventually(lambda: not self.running("closed")))

    async def test_other_services(self):
        request = message("CreateQuoteRequest")(quote="Sing to me.")
        made = await self.db.call("QuotesService/CreateQuote", request)
        self.assertEqual(made.quote.quote, "Sing to me.")
        for name in "QuotesService/Nothing", "NothingService/GetQuote", "nothing":
            await self.refused(errors.InterfaceError, self.db.call(name, request))
            with self.assertRaises(errors.DatabaseError):
                async with self.db.transaction():
                    await self.db.call(name, request)

    async def test_a_server_that_leaves_is_asked_again(self):
        """What it says while it shuts down, from a Database of a test's own that is asked twice."""
        answers = [errors.ServerUnavailableError("leaving", "UNAVAILABLE", "SHUTTING_DOWN"), None]
        attempt, asked = self.db.channel.call, []

        async def call(*arguments, **options):
            asked.append(arguments)
            if answers and (error := answers.pop(0)):
                raise error
            return await attempt(*arguments, **options)

        self.db.channel.call = call
        self.assertEqual(await self.db.execute("insert into t values (1)", retry_delay=0), "INSERT 0 1")
        self.assertEqual((len(asked), self.count()), (2, 1))
        answers.append(errors.ServerUnavailableError("broken", "UNAVAILABLE"))
        await self.refused(errors.ServerUnavailableError, self.db.execute("insert into t values (2)"))
        self.assertEqual((len(asked), self.count()), (3, 1))


if __name__ == "__main__":
    unittest.main()
