"""The Python package: every method of its Database, and what is packaged."""

import asyncio
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
import zipfile

import twi_data
from package import Case
from twi_data import errors

import server as program

PACKAGE = pathlib.Path(twi_data.__file__).parent


class Statements(Case):

    async def test_the_shapes_of_answers(self):
        self.psql("insert into t select g, 'v' || g from generate_series(1, 3) g")
        found = await self.db.fetch("select * from t where id > $1 order by id", 1)
        self.assertEqual(found, [(2, "v2"), (3, "v3")])
        self.assertEqual([row["v"] for row in found], ["v2", "v3"])
        self.assertEqual(await self.db.fetch("select 1 where false"), [])
        self.assertEqual(await self.db.fetchrow("select * from t order by id"), (1, "v1"))
        self.assertIsNone(await self.db.fetchrow("select * from t where id = $1", 9))
        self.assertEqual(await self.db.fetchval("select count(*) from t"), 3)
        self.assertEqual(await self.db.fetchval("select id, v from t where id = 2", column=1), "v2")
        self.assertIsNone(await self.db.fetchval("select null::int"))
        self.assertIsNone(await self.db.fetchval("select id from t where id = 9"))
        self.assertEqual(await self.db.fetchval("insert into t values ($1) returning id", 4), 4)

    async def test_kept_answers(self):
        """They are counted, are right after a write by anybody, and can be passed by."""
        sql = "select count(*) from links where guild_id = $1"
        statement = await self.db.prepare_statement("kept", sql)

        async def hits(**options):
            before = (await self.db.get_cache_stats())["hits"]
            self.assertEqual(await statement.fetchval(7, **options), expected)
            return (await self.db.get_cache_stats())["hits"] - before

        async def keeps():
            async with asyncio.timeout(60):
                while not await hits():
                    await asyncio.sleep(0.05)

        expected = 0
        await keeps()
        self.assertEqual(await hits(use_cache=False), 0)
        await self.db.execute("insert into links (title, guild_id) values ('kept', 7)")
        expected = 1
        self.assertEqual(await self.db.fetchval(sql, 7), 1)
        await keeps()

    async def test_large_answers(self):
        """What does not go into one message is there all the same if it is only read."""
        sql = "select g, repeat('x', $1::int) as x from generate_series(1, 100000) g"
        found = await self.db.fetch(sql, 100)
        self.assertEqual([row["g"] for row in found], list(range(1, 100001)))
        self.assertEqual(found[99999]["x"], "x" * 100)
        error = await self.refused(errors.ResultTooLargeError, self.db.fetch(
            "insert into t select generate_series(1, 100000), 'y' returning id, repeat('x', 100)"))
        self.assertEqual((error.code, self.count()), ("RESOURCE_EXHAUSTED", 0))
        with self.assertRaises(TimeoutError):
            await self.db.fetch(sql.replace("100000", "100000000"), 100, timeout=1)

    async def test_what_was_done_is_told(self):
        self.assertEqual(await self.db.execute("insert into t values ($1, $2)", 1, "a"), "INSERT 0 1")
        self.assertEqual(await self.db.execute("update t set v = 'b'", invalidate_cache=False), "UPDATE 1")
        self.assertEqual(await self.db.execute("insert into t values (2); delete from t"), "DELETE 2")
        self.assertEqual(await self.db.execute("create table if not exists t (id int)"), "CREATE TABLE")

    async def test_options_of_the_old_layer(self):
        options = {"timeout": 20, "retries": 100, "retry_delay": 0.1, "monitor": False}
        self.assertEqual(await self.db.fetch("select 1", use_cache=False, **options), [(1,)])
        await self.db.execute("insert into t values (1)", **options)
        with self.assertRaises(TypeError):
            await self.db.fetch("select 1", cached=False)
        for retries in 0, -1:
            await self.refused(errors.DataError, self.db.execute("delete from t", retries=retries))
        self.assertEqual(self.count(), 1)

    async def test_many(self):
        rows = [(n, None if n % 2 else f"v{n}") for n in range(3000)]
        for given in rows, iter(rows), self.slowly(rows):
            self.psql("truncate t")
            await self.db.execute_many("insert into t values ($1, coalesce($2, '-'))", given)
            self.assertEqual(self.psql("select count(*), count(*) filter (where v = '-') from t"),
                             "3000|1500")
        error = await self.refused(errors.UniqueViolationError, self.db.execute_many(
            "insert into t values ($1)", [(n,) for n in range(4000, 6000)] + [(4000,)]))
        self.assertEqual((error.metadata["row"], self.count()), ("2001", 3000))
        await self.db.execute_many("insert into t values ($1)", [])

    async def slowly(self, rows):
        for row in rows:
            yield row

    async def test_copy(self):
        columns = ["id", "v"]
        rows = [(n, f"tab\t{n}\n\\N") for n in range(3000)]
        self.assertEqual(await self.db.copy_records_to_table("t", records=rows, columns=columns), "COPY 3000")
        self.assertEqual(await self.db.fetchval("select v from t where id = 7"), rows[7][1])
        self.assertEqual(await self.db.copy_records_to_table("t", [(3000, "a")], schema_name="public"),
                         "COPY 1")
        error = await self.refused(errors.UniqueViolationError, self.db.copy_records_to_table(
            "t", self.slowly([(5000, "a"), (1, "b")]), columns))
        self.assertEqual(error.constraint, "t_pkey")
        # A name is a name, and no SQL.
        await self.refused(errors.UndefinedTableError, self.db.copy_records_to_table("public.t", [(1, "a")]))
        self.psql('create table "T x" (id int)')
        self.assertEqual(await self.db.copy_records_to_table("T x", [(1,)]), "COPY 1")
        self.assertEqual(self.count(), 3001)

    async def test_rows_are_asked_for_as_they_are_taken(self):
        """Nobody reads the table's rows: those that never end are not gathered meanwhile."""
        text, given = "x" * 100_000, 0

        def endless():
            nonlocal given
            while True:
                given += 1
                yield (given, text)

        self.psql("create table wide (id bigint, v text)")
        with program.transaction(self.server.dsn, "lock table wide"):
            with self.assertRaises(TimeoutError):
                await self.db.copy_records_to_table("wide", endless(), timeout=1)
        self.assertLess(given, 1000)
        self.assertEqual(await self.db.copy_records_to_table(
            "wide", ((n, text) for n in range(300))), "COPY 300")
        self.assertEqual(self.psql("select sum(length(v)) from wide"), "30000000")

    async def test_in_one_transaction(self):
        await self.db.execute_in_transaction([("insert into t values ($1, $2)", (1, "a")),
                                              ("update t set v = $1", ("b",))])
        self.assertEqual(self.psql("select * from t"), "1|b")
        error = await self.refused(errors.UniqueViolationError, self.db.execute_in_transaction(
            [("delete from t", ()), ("insert into t values (2), ($1)", [2])]))
        self.assertEqual(error.metadata["statement"], "2")
        self.assertEqual(self.count(), 1)
        await self.db.execute_in_transaction([])

    async def test_prepared(self):
        self.psql("insert into t values (1, 'a'), (2, 'b')")
        name = "by_id"
        statement = await self.db.prepare_statement(name, "select v, id from t where id = $1")
        self.assertEqual(statement.parameter_types, ["bigint"])
        self.assertEqual(await statement.fetch(1), [("a", 1)])
        self.assertEqual(await statement.fetchrow(2, timeout=5), ("b", 2))
        self.assertEqual(await statement.fetchval(2, column=1), 2)
        self.assertEqual(await statement.execute(1), "SELECT 1")
        self.assertIs(await self.db.prepare_statement(name, statement.query), statement)
        error = await self.refused(errors.DatabaseError, self.db.prepare_statement(name, "select 1"))
        self.assertEqual(error.reason, "PREPARED_EXISTS")
        await self.refused(errors.UndefinedTableError,
                           self.db.prepare_statement("none", "select * from nothing"))

    async def test_pages(self):
        pages = [page async for page in self.db.paginate(
            "select g from generate_series($1::int, 7) g; -- all", 1, page_size=3)]
        self.assertEqual(pages, [[(1,), (2,), (3,)], [(4,), (5,), (6,)], [(7,)]])
        self.assertEqual(pages[2][0]["g"], 7)
        self.assertEqual([page async for page in self.db.paginate("select 1 where false")], [])
        with self.assertRaises(errors.DataError):
            await anext(self.db.paginate("select 1", page_size=0))
        # Who stops to read ends the statement.
        reading = self.db.paginate("select g, repeat('x', 1000) from generate_series(1, 10000000) g")
        self.assertEqual(len(await anext(reading)), 100)
        await reading.aclose()
        self.assertTrue(program.eventually(lambda: not self.running("10000000")))

    async def test_timeouts(self):
        for call in (self.db.fetch_with_timeout("select pg_sleep(30)", timeout_seconds=0.1),
                     self.db.fetchrow_with_timeout("select pg_sleep(30)", timeout_seconds=0.1),
                     self.db.execute("select pg_sleep(30)", timeout=0.1)):
            with self.assertRaises(TimeoutError):
                await call
        self.assertEqual(await self.db.fetch_with_timeout("select 1"), [(1,)])
        self.assertEqual(await self.db.fetchrow_with_timeout("select $1::int", 2), (2,))
        with self.assertRaises(TimeoutError):
            async for _ in self.db.paginate("select pg_sleep(30)", timeout_seconds=0.1):
                self.fail("there is no page")

    async def test_a_cancelled_task_ends_its_statement(self):
        task = asyncio.create_task(self.db.execute("select pg_sleep(60), 'cancelled'"))
        await self.begun("cancelled")
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertTrue(program.eventually(lambda: not self.running("cancelled")))

    async def test_scripts(self):
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write("insert into t values (1, ';');\n-- and\ninsert into t values (2);\n")
            file.flush()
            await self.db.execute_script(file.name)
            error = await self.refused(errors.UniqueViolationError,
                                       self.db.execute_script(file.name, timeout=20))
        self.assertEqual((error.metadata["line"], self.count()), ("1", 2))
        with self.assertRaises(FileNotFoundError):
            await self.db.execute_script("nothing.sql")

    async def test_callbacks(self):
        async def callback(conn, first, *, second):
            await conn.execute("insert into t values ($1, $2)", first, second)
            await conn.executemany("insert into t values ($1)", [(2,), (3,)])
            return await conn.fetchval("select count(*) from t")

        self.assertEqual(await self.db.execute_with_callback(callback, 1, second="a"), 3)

    async def test_upkeep(self):
        self.assertTrue(await self.db.check_connection_health())
        self.assertTrue(await self.db.health())
        told = await self.db.validate_connections()
        self.assertEqual((told["dead"], told["replaced"]), (0, 0))
        error = await self.refused(errors.DatabaseError, self.db.refresh_materialized_views())
        self.assertTrue(any("daily_message_stats" in note for note in error.__notes__))
        self.assertEqual(program.run("optimize", "base", f"--dsn={self.server.dsn}").returncode, 0)
        await self.db.apply_additional_optimizations()
        await self.db.refresh_materialized_views()
        stats = await self.db.get_cache_stats()
        self.assertEqual(list(stats), ["hits", "misses", "hit_rate", "evictions", "invalidations",
                                       "total_requests"])
        self.assertEqual(stats["total_requests"], stats["hits"] + stats["misses"])


class Packaged(unittest.TestCase):

    def imports(self, folder):
        """What the package comes to in a Python that has it and Debian's modules alone."""
        program_text = ("import sys, twi_data, twi_data.contract as c; "
                        "print(twi_data.__file__, [m for m in sys.modules if '_pb2' in m], "
                        "c.message('Quote')(quote='x').quote, c.method('QuotesService/GetQuote').path)")
        environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
        return subprocess.run([sys.executable, "-c", program_text], check=True, capture_output=True,
                              text=True, timeout=60, cwd="/", env=environment).stdout.strip()

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def expected(self):
        return (f"{self.folder}/twi_data/__init__.py ['google.protobuf.descriptor_pb2'] x "
                "/twi.data.v1.QuotesService/GetQuote")

    def test_its_files_are_enough(self):
        shutil.copytree(PACKAGE, self.folder / "twi_data")
        self.assertEqual([path for path in self.folder.rglob("*_pb2*")], [])
        self.assertEqual(self.imports(self.folder), self.expected())

    def test_its_wheel_is_enough(self):
        spec = importlib.util.spec_from_file_location("backend", PACKAGE.parent / "backend.py")
        backend = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(backend)
        wheel = self.folder / backend.build_wheel(self.folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.folder)
            names = archive.namelist()
        wheel.unlink()
        version = program.run("version").stdout.split()[1]
        self.assertIn(f"twi_data-{version}.dist-info/RECORD", names)
        self.assertIn(f"\nVersion: {version}\n",
                      (self.folder / f"twi_data-{version}.dist-info" / "METADATA").read_text())
        self.assertEqual(self.imports(self.folder), self.expected())
        # There is nothing that pip would fetch to build it.
        project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
        self.assertEqual(project["build-system"]["requires"], [])

    def test_the_source_alone_says_what_is_missing(self):
        source = pathlib.Path(__file__).resolve().parents[2] / "clients" / "python"
        with self.assertRaises(subprocess.CalledProcessError) as context:
            self.imports(source)
        self.assertIn("target python_package", context.exception.stderr)


if __name__ == "__main__":
    unittest.main()
