"""Transactions: blocks whose statements run in one session of the server."""

import asyncio
import contextvars
import itertools
import random

import grpc

from . import errors
from .channel import method_of
from .contract import POOL, message
from .record import Columns, records
from .rows import chunks, copy_target
from .values import parameters

Query = message("Query")
Request = message("TransactionRequest")
Isolation = POOL.FindEnumTypeByName("twi.data.v1.Isolation")

# The innermost block that this task is in. A task that is started within a block is in it, too, as long
# as it lasts.
innermost = contextvars.ContextVar("twi_data_transaction", default=None)
savepoints = itertools.count(1)


def statement(sql, values):
    return Query(sql=sql, parameters=parameters(values))


class Conversation:
    """The call that a transaction is: each step is answered before the next."""

    def __init__(self, channel):
        self.call = channel.begin("DatabaseService/Transaction")
        self.ended = False

    async def step(self, timeout=None, **step):
        if self.ended:
            raise errors.InterfaceError("the transaction has been rolled back: it was lost, or one of its "
                                        "steps was cancelled or timed out")
        done = False
        try:
            async with asyncio.timeout(timeout):
                with errors.translated():
                    await self.write(Request(**step))
                    answer = await self.call.read()
                    if answer is grpc.aio.EOF:
                        raise errors.InterfaceError("the transaction has ended")
            done = True
        except TimeoutError as error:
            if isinstance(error, errors.DatabaseError):
                raise
            raise errors.QueryTimeoutError("the step took too long", "DEADLINE_EXCEEDED") from error
        finally:
            if not done:
                # Where it stands is not known: the server rolls back what nobody holds.
                self.end()
        if answer.HasField("error"):
            raise errors.of_status(answer.error)
        return answer

    async def write(self, request):
        try:
            await self.call.write(request)
        except asyncio.InvalidStateError:
            # It has ended already; to read says why.
            pass

    async def finish(self, **step):
        await self.step(**step)
        with errors.translated():
            await self.call.read()

    def end(self):
        self.ended = True
        self.call.cancel()


class Transaction:
    """A transaction, or within another one a savepoint. As a context it is committed at the end, and
    rolled back when an exception leaves it. Statements of the database that the block's tasks run
    meanwhile are in it; `conn`, the transaction itself, runs some, too."""

    def __init__(self, database, isolation=None, readonly=False, deferrable=False):
        self.database = database
        self.begin = {"read_only": readonly, "deferrable": deferrable}
        if isolation:
            self.begin["isolation"] = f"ISOLATION_{isolation.upper()}"
            if self.begin["isolation"] not in Isolation.values_by_name:
                raise errors.InterfaceError(f"there is no isolation {isolation}")
        self.lock = asyncio.Lock()
        self.conversation = self.outer = self.savepoint = None
        self.depth = 0
        self.open = self.used = False

    @property
    def conn(self):
        return self

    def __await__(self):
        async def itself():
            return self
        return itself().__await__()

    async def __aenter__(self):
        if self.used:
            raise errors.InterfaceError("a transaction can be entered once")
        self.used = True
        self.previous = innermost.get()
        self.outer = current(self.database)
        if self.outer:
            await self.nest()
        else:
            await self.converse()
        self.open = True
        innermost.set(self)
        return self

    async def converse(self):
        """Waits for a session as long as for a connection: a server has few for transactions."""
        loop = asyncio.get_running_loop()
        pause, end = 0.02, loop.time() + self.database.connect_timeout
        while True:
            self.conversation = Conversation(self.database.channel)
            try:
                return await self.conversation.step(begin=self.begin)
            except errors.OverloadedError:
                if loop.time() + pause > end:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, 0.5)

    async def nest(self):
        if any(self.begin.values()):
            raise errors.InterfaceError("only the outermost transaction says how it begins")
        # It has the session to itself, or savepoints of several tasks would be mixed up.
        await self.outer.lock.acquire()
        try:
            self.outer.must_be_open()
            self.conversation = self.outer.conversation
            self.depth = self.outer.depth + 1
            self.savepoint = f"twi_data_{next(savepoints)}"
            await self.conversation.step(savepoint=self.savepoint)
        except BaseException:
            self.outer.lock.release()
            raise

    async def __aexit__(self, kind, error, traceback):
        innermost.set(self.previous)
        try:
            # Tasks of the block may still be at a step.
            async with self.lock:
                self.open = False
                if self.savepoint:
                    await self.leave_savepoint(failed=error is not None)
                elif error is None:
                    await self.conversation.finish(commit={})
                elif not self.conversation.ended:
                    await self.conversation.finish(rollback={})
        except errors.DatabaseError:
            # What the block itself raised says more.
            if error is None:
                raise
        except BaseException:
            self.conversation.end()
            raise
        finally:
            self.open = False
            if self.savepoint:
                self.outer.lock.release()
            else:
                self.conversation.end()

    async def leave_savepoint(self, failed):
        if not failed:
            try:
                await self.conversation.step(release=self.savepoint)
                return
            except errors.DatabaseError:
                if not self.conversation.ended:
                    await self.leave_savepoint(failed=True)
                raise
        if not self.conversation.ended:
            await self.conversation.step(rollback_to=self.savepoint)
            await self.conversation.step(release=self.savepoint)

    async def step(self, timeout=None, **step):
        # A block within this one has the session now; who is in that is the one to run it.
        runner = current(self.database)
        if not (runner and runner.conversation is self.conversation and runner.depth > self.depth):
            runner = self
        async with runner.lock:
            runner.must_be_open()
            return await runner.conversation.step(timeout, **step)

    def must_be_open(self):
        if not self.open:
            raise errors.InterfaceError("the transaction has ended")

    async def table(self, sql, values, timeout, limit=0):
        step = {"query": statement(sql, values), "limit": limit}
        return (await self.step(timeout, fetch=step)).outcome.table

    async def execute(self, query, *args, timeout=None):
        return (await self.step(timeout, execute=statement(query, args))).outcome.command_tag

    async def fetch(self, query, *args, timeout=None):
        return records(await self.table(query, args, timeout))

    async def fetchrow(self, query, *args, timeout=None):
        return next(iter(records(await self.table(query, args, timeout, limit=1))), None)

    async def fetchval(self, query, *args, column=0, timeout=None):
        found = await self.table(query, args, timeout, limit=1)
        if not 0 <= column < max(1, len(found.columns)):
            raise errors.DataError(f"column must be less than {len(found.columns)}, not {column}")
        return records(found)[0][column] if found.rows else None

    async def executemany(self, command, args, *, timeout=None):
        """Runs the statement for each of the rows of arguments."""
        await self.in_chunks("execute_many", {"sql": command}, args, timeout)

    async def copy_records_to_table(self, table_name, *, records, columns=None, schema_name=None,
                                    timeout=None):
        table = {"table": copy_target(table_name, schema_name), "columns": columns or ()}
        return f"COPY {await self.in_chunks('copy', table, records, timeout)}"

    async def in_chunks(self, step, first, rows, timeout):
        done = affected = 0
        async for chunk in chunks(rows):
            try:
                many = (await self.step(timeout, **{step: first | {"rows": chunk}})).many
            except errors.DatabaseError as error:
                if "row" in error.metadata:
                    error.metadata["row"] = str(int(error.metadata["row"]) + done)
                raise
            done += many.row_count
            affected += many.affected_rows
        return affected

    async def pages(self, sql, values, page_size):
        """The rows of a SELECT, page by page, as the transaction sees them."""
        cursor = f"twi_data_{next(savepoints)}"
        await self.execute(f"declare {cursor} no scroll cursor for {sql}", *values)
        try:
            columns = None
            while True:
                table = await self.table(f"fetch {page_size} from {cursor}", (), None)
                columns = columns or Columns(table.columns)
                if table.rows:
                    yield records(table, columns)
                if len(table.rows) < page_size:
                    return
        finally:
            if self.open and not self.conversation.ended:
                await self.execute(f"close {cursor}")

    def transaction(self, **begin):
        return Transaction(self.database, **begin)

    async def call(self, operation, request, timeout=None):
        """The answer of a unary operation of another service, which takes part."""
        found = method_of(operation)
        packed = {"type_url": f"type.googleapis.com/{found.request.DESCRIPTOR.full_name}",
                  "value": request.SerializeToString()}
        answer = await self.step(timeout, call={"operation": operation, "request": packed})
        return found.response.FromString(answer.response.value)


def current(database):
    """The innermost open transaction of this database that the task is in, or None."""
    found = innermost.get()
    while found and not (found.open and found.database is database):
        found = found.previous
    return found
