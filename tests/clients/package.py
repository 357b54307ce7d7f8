"""What the tests of the Python package share: a server, and a Database for each test."""

import asyncio
import logging
import unittest

from twi_data import Database

import server as program

# Of what takes long on a busy machine: unittest runs loops in their debug mode.
logging.getLogger("asyncio").setLevel(logging.ERROR)


class Asynchronous(unittest.IsolatedAsyncioTestCase):

    async def refused(self, kind, awaitable):
        """It must raise exactly this; the exception."""
        with self.assertRaises(kind) as context:
            await awaitable
        self.assertIs(type(context.exception), kind, context.exception)
        return context.exception


class Case(Asynchronous):

    server = None

    @classmethod
    def setUpClass(cls):
        if Case.server is None:
            unittest.addModuleCleanup(setattr, Case, "server", None)
            Case.server = unittest.enterModuleContext(program.Server("--pool_max=12"))
            program.query(cls.server.dsn, "create type mood as enum ('calm', 'cross');"
                                          "create type pair as (a int, b text)")

    async def asyncSetUp(self):
        self.psql("drop table if exists t cascade; create table t (id bigint primary key, "
                  "v text not null default '-' constraint short check (length(v) < 100))")
        self.db = await self.enterAsyncContext(Database(self.server.grpc))

    def psql(self, sql):
        return program.query(self.server.dsn, sql)

    def count(self, table="t"):
        return int(self.psql(f"select count(*) from {table}"))

    def running(self, mark):
        """How many statements with this mark the database runs now."""
        return self.count(f"pg_stat_activity where state = 'active' and query like '%{mark}%' "
                          "and pid <> pg_backend_pid()")

    async def begun(self, mark):
        while not self.running(mark):
            await asyncio.sleep(0.01)
