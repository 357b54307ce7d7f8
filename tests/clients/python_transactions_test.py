"""The Python package: transactions, whatever their tasks do meanwhile."""

import asyncio
import contextvars
import unittest

from package import Case
from twi_data import DatabaseTransaction, Transaction, errors
from twi_data.repositories import LinkRepository, ServerSettingsRepository

import server as program

OPEN = "select count(*) from pg_stat_activity where state ~ 'idle in transaction'"


class Failure(Exception):
    pass


class Transactions(Case):

    def nothing_is_open(self):
        self.assertTrue(program.eventually(lambda: self.psql(OPEN) == "0"))

    async def test_statements_of_the_block_are_in_it(self):
        for awaited in True, False:
            self.psql("truncate t")
            async with await self.db.transaction() if awaited else self.db.transaction():
                await self.db.execute("insert into t values ($1, 'a')", 1)
                await self.db.execute_many("insert into t values ($1)", [(2,), (3,)])
                await self.db.copy_records_to_table("t", [(4, "b")], columns=["id", "v"])
                await self.db.execute_in_transaction([("insert into t values ($1)", (5,))])
                self.assertEqual(await self.db.fetchval("select count(*) from t"), 5)
                self.assertEqual(await self.db.fetchrow("select * from t order by id"), (1, "a"))
                self.assertEqual(len(await self.db.fetch("select * from t")), 5)
                self.assertEqual(await self.db.fetchval("select id, v from t order by 1", column=1), "a")
                self.assertIsNone(await self.db.fetchrow("select * from t where id = 9"))
                pages = self.db.paginate("select id from t where id > $1 order by id", 1, page_size=3)
                self.assertEqual([page async for page in pages], [[(2,), (3,), (4,)], [(5,)]])
                statement = await self.db.prepare_statement("count", "select count(*) from t")
                self.assertEqual(await statement.fetchval(), 5)
                self.assertEqual(self.count(), 0)
            self.assertEqual(self.count(), 5)
            self.assertEqual(await self.db.fetchval("select count(*) from t"), 5)
        self.nothing_is_open()

    async def test_an_exception_rolls_back(self):
        with self.assertRaises(Failure):
            async with self.db.transaction():
                await self.db.execute("insert into t values (1)")
                raise Failure
        await self.refused(errors.UniqueViolationError, self.twice())
        self.assertEqual(await self.db.fetchval("select count(*) from t"), 0)
        self.nothing_is_open()

    async def twice(self):
        async with self.db.transaction():
            for _ in range(2):
                await self.db.execute("insert into t values (1)")

    async def test_a_failure_that_is_passed_over_is_no_commit(self):
        with self.assertRaises(errors.InFailedSQLTransactionError):
            async with self.db.transaction():
                await self.db.execute("insert into t values (1)")
                await self.refused(errors.DataError, self.db.fetch("select 1 / 0"))
                await self.refused(errors.InFailedSQLTransactionError, self.db.fetch("select 1"))
        self.assertEqual(self.count(), 0)

    async def test_many_rows_are_numbered_from_the_first(self):
        rows = [(n,) for n in range(2500)] + [(0,)]
        for many in self.db.execute_many, self.db.copy_records_to_table:
            error = await self.refused(errors.UniqueViolationError, self.within(many, rows))
            self.assertEqual(error.metadata["row"], "2501")
        self.assertEqual(self.count(), 0)

    async def within(self, many, rows):
        async with self.db.transaction():
            if many == self.db.execute_many:
                await many("insert into t values ($1)", rows)
            else:
                await many("t", rows, columns=["id"])

    async def test_the_connection_of_the_old_layer(self):
        async with await self.db.transaction() as transaction:
            self.assertIsInstance(transaction, Transaction)
            conn = transaction.conn
            await conn.execute("insert into t values ($1)", 1)
            await conn.executemany("insert into t values ($1)", [(2,)])
            self.assertEqual(await conn.copy_records_to_table("t", records=[(3, "c")]), "COPY 1")
            self.assertEqual(await conn.fetch("select id from t order by id"), [(1,), (2,), (3,)])
            self.assertEqual(await conn.fetchrow("select v, id from t where id = $1", 3), ("c", 3))
            self.assertEqual(await conn.fetchval("select v, id from t where id = $1", 3, column=1), 3)
            await self.refused(errors.DataError, conn.fetchval("select 1", column=1))
            self.assertEqual(self.count(), 0)
        self.assertEqual(self.count(), 3)
        for call in conn.execute("select 1"), transaction.__aenter__():
            await self.refused(errors.InterfaceError, call)
        async with DatabaseTransaction(self.db) as held:
            await held.transaction.conn.execute("delete from t")
        self.assertEqual(self.count(), 0)

    async def test_a_block_within_is_a_savepoint(self):
        async with self.db.transaction() as outer:
            await self.db.execute("insert into t values (1)")
            for failing in "insert into t values (1)", "select nothing":
                with self.assertRaises(errors.DatabaseError):
                    async with self.db.transaction():
                        await self.db.execute("insert into t values (2)")
                        await self.db.execute(failing)
            async with await outer.transaction() as inner:
                await inner.execute("insert into t values (3)")
                # Whoever has the outer one still may use it.
                await outer.execute("insert into t values (4)")
                with self.assertRaises(Failure):
                    async with self.db.transaction():
                        await self.db.execute("insert into t values (5)")
                        raise Failure
            with self.assertRaises(errors.InFailedSQLTransactionError):
                async with self.db.transaction():
                    await self.refused(errors.DataError, self.db.execute("select 1 / 0"))
            await self.refused(errors.InterfaceError, self.enter(self.db.transaction(readonly=True)))
            self.assertEqual(await self.db.fetch("select id from t order by id"), [(1,), (3,), (4,)])
        self.assertEqual(self.psql("select string_agg(id::text, ',' order by id) from t"), "1,3,4")

    async def enter(self, context):
        async with context:
            pass

    async def test_begin_says_how(self):
        async with self.db.transaction(isolation="repeatable_read"):
            self.assertEqual(await self.db.fetchval("show transaction_isolation"), "repeatable read")
        with self.assertRaises(errors.ReadOnlySQLTransactionError):
            async with self.db.transaction(readonly=True):
                await self.db.execute("insert into t values (1)")
        with self.assertRaises(errors.InterfaceError):
            self.db.transaction(isolation="loose")

    async def test_tasks_have_transactions_of_their_own(self):
        """Two blocks at once: neither sees the other's rows, and one is rolled back alone."""
        both = asyncio.Barrier(3)

        async def work(number, fails):
            async with self.db.transaction():
                await self.db.execute("insert into t values ($1)", number)
                await both.wait()
                seen = await self.db.fetch("select id from t")
                await both.wait()
                if fails:
                    raise Failure
                return seen

        tasks = [asyncio.create_task(work(1, False)), asyncio.create_task(work(2, True))]
        await both.wait()
        # Nor is who is in none of them.
        self.assertEqual(await self.db.fetchval("select count(*) from t"), 0)
        await both.wait()
        seen, failure = await asyncio.gather(*tasks, return_exceptions=True)
        self.assertEqual(seen, [(1,)])
        self.assertIsInstance(failure, Failure)
        self.assertEqual(self.psql("select id from t"), "1")

    async def test_tasks_of_a_block_are_in_it_as_long_as_it_lasts(self):
        after = asyncio.Event()

        async def late():
            await after.wait()
            await self.db.execute("insert into t values (99)")

        with self.assertRaises(Failure):
            async with self.db.transaction():
                await asyncio.gather(*(self.nested(number) for number in range(10)))
                self.assertEqual(await self.db.fetchval("select count(*) from t"), 15)
                task = asyncio.create_task(late())
                raise Failure
        self.assertEqual(self.count(), 0)
        after.set()
        await task
        self.assertEqual(self.psql("select id from t"), "99")

    async def test_tasks_that_come_too_late_are_told(self):
        """What was begun within a block and had no turn before its end is in no transaction of its own."""
        held = asyncio.Event()

        async def slow():
            async with self.db.transaction():
                held.set()
                await self.db.execute("select pg_sleep(0.2)")

        async def late():
            async with self.db.transaction():
                await self.db.execute("insert into t values (1)")

        async with self.db.transaction():
            first = asyncio.create_task(slow())
            await held.wait()
            leaving = asyncio.get_running_loop().create_future()
            tasks = [asyncio.create_task(self.after(leaving, work)) for work in (
                late(), self.db.execute("insert into t values (2)"))]
            await asyncio.sleep(0)
            leaving.set_result(None)
        await first
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            self.assertIsInstance(result, errors.InterfaceError)
        self.assertEqual(self.count(), 0)

    async def after(self, event, work):
        await event
        return await work

    async def nested(self, number):
        await self.db.execute("insert into t values ($1)", number)
        try:
            async with self.db.transaction():
                await self.db.execute("insert into t values ($1)", 100 + number)
                await asyncio.sleep(0)
                if number % 2:
                    raise Failure
        except Failure:
            pass

    async def test_a_cancelled_task_rolls_back(self):
        async def work(statement):
            async with self.db.transaction():
                await self.db.execute("insert into t values (1)")
                inside.set()
                await (self.db.execute(statement) if statement else asyncio.Event().wait())

        # Between two steps, and within one.
        for statement in None, "select pg_sleep(60)":
            inside = asyncio.Event()
            task = asyncio.create_task(work(statement))
            await inside.wait()
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.nothing_is_open()
            # Nobody holds the row's key any longer.
            await self.db.execute("insert into t values (1)", timeout=30)
            await self.db.execute("delete from t")

    async def test_cancelled_over_and_over(self):
        """However far each came: no transaction stays, none is half done, and there are connections."""
        async def work(number):
            async with self.db.transaction():
                await self.db.execute("insert into t values ($1)", 2 * number)
                async with self.db.transaction():
                    await self.db.execute("insert into t values ($1)", 2 * number + 1)

        for number in range(40):
            task = asyncio.create_task(work(number))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.nothing_is_open()
        self.assertEqual(self.count("(select id / 2 from t group by 1 having count(*) <> 2) halves"), 0)
        for number in range(40, 45):
            await work(number)

    async def test_a_step_that_took_too_long_ends_it(self):
        with self.assertRaises(errors.InterfaceError):
            async with self.db.transaction():
                await self.db.execute("insert into t values (1)")
                await self.refused(errors.QueryTimeoutError,
                                   self.db.execute("select pg_sleep(60)", timeout=0.1))
                async with self.db.transaction():
                    self.fail("it is over")
        self.assertEqual(self.count(), 0)
        self.nothing_is_open()

    async def test_one_that_is_never_entered_costs_nothing(self):
        held = [await self.db.transaction() for _ in range(50)]
        self.nothing_is_open()
        async with held.pop():
            self.assertEqual(await self.db.fetchval("select 1"), 1)

    async def test_conflicts(self):
        outside = contextvars.copy_context()
        with self.assertRaises(errors.RetryableError) as context:
            async with self.db.transaction(isolation="serializable"):
                await self.db.fetch("select sum(id) from t")
                await asyncio.create_task(self.other(), context=outside)
                await self.db.execute("insert into t values (1)")
        self.assertIsInstance(context.exception, errors.SerializationError)

    async def other(self):
        async with self.db.transaction(isolation="serializable"):
            await self.db.fetch("select sum(id) from t")
            await self.db.execute("insert into t values (2)")

    async def test_repositories_take_part(self):
        links, settings = LinkRepository(self.db), ServerSettingsRepository(self.db)
        with self.assertRaises(Failure):
            async with self.db.transaction():
                self.assertIsNone(await links.get_by_title("In a transaction"))
                await links.create("In a transaction")
                await settings.upsert(77, 5)
                await self.db.execute("insert into t values (1)")
                self.assertEqual((await links.get_by_title("in a transaction")).title, "In a transaction")
                self.assertFalse(await links.delete_by_title("nothing"))
                self.assertIn("In a transaction", [link.title for link in await links.get_all()])
                self.assertEqual(self.psql("select count(*) from links"), "0")
                raise Failure
        self.assertIsNone(await links.get_by_title("In a transaction"))
        self.assertIsNone(await settings.get_admin_role_id(77))
        self.assertEqual(self.count(), 0)
        async with self.db.transaction():
            with self.assertRaises(errors.DataError):
                await links.create("")
            await settings.upsert(77, 5)
        self.assertEqual(await settings.get_admin_role_id(77), 5)


if __name__ == "__main__":
    unittest.main()
