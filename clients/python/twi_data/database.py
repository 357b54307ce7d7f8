"""The Database of the old layer, over the services."""

import asyncio
import pathlib
import time
import typing

from . import errors
from .channel import Channel
from .contract import POOL, message
from .record import Columns, Record, records
from .rows import chunks, copy_target
from .transaction import Transaction, current, statement
from .values import decode

CACHE_STATS = ("hits", "misses", "hit_rate", "evictions", "invalidations", "total_requests")
MOST_ATTEMPTS = 10
LARGEST_PAGE = 10000
# Nothing was done, whatever was asked.
UNDONE = {"SHUTTING_DOWN", "OVERLOADED"}
FAILED = POOL.FindEnumTypeByName("twi.data.v1.UpkeepOutcome").values_by_name["UPKEEP_OUTCOME_FAILED"].number


class Options(typing.TypedDict, total=False):
    """How a statement is run. `timeout` is for all of it, attempts and the pauses between them included.
    Without `use_cache` the database itself answers, and not the cache, which is never stale either.
    `monitor` is taken and means nothing: the server logs what is slow."""

    timeout: float | None
    retries: int
    retry_delay: float
    monitor: bool
    use_cache: bool
    invalidate_cache: bool


def seconds(number):
    return {"seconds": int(number), "nanos": int(number % 1 * 1e9)}


class Database:
    """`target` is HOST:PORT, `token` what `twi-data token new` printed. `tls` is a file with the
    certificates to trust, True for those of the system, or what grpc.ssl_channel_credentials gives. A
    statement without a `timeout` gets `command_timeout`. `options` are further ones of gRPC's channel.

    Methods that are called within a block of `transaction` run in it.
    """

    def __init__(self, target, token=None, tls=None, *, command_timeout=300.0, connect_timeout=10.0,
                 options=()):
        self.channel = Channel(target, token, tls, options)
        self.command_timeout = command_timeout
        self.connect_timeout = connect_timeout
        self.prepared = {}

    async def connect(self):
        """Waits until a server is ready. Without it the first call connects."""
        await self.channel.call("grpc.health.v1.Health/Check", message("grpc.health.v1.HealthCheckRequest")(),
                                self.connect_timeout, wait_for_ready=True)
        return self

    async def close(self):
        """Ends the calls that are under way, too."""
        await self.channel.close()

    async def __aenter__(self):
        return await self.connect()

    async def __aexit__(self, *_):
        await self.close()

    async def fetch(self, query: str, *args, **options: typing.Unpack[Options]) -> list[Record]:
        """All rows."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.fetch(query, *args, timeout=options["timeout"])
        begun = time.monotonic()
        try:
            return records((await self._read("Fetch", query, args, options)).table)
        except errors.ResultTooLargeError as error:
            # Nothing was done. What only reads comes in pages, too, which have no bound.
            pages = self.paginate(query, *args, page_size=LARGEST_PAGE,
                                  timeout_seconds=options["timeout"] - (time.monotonic() - begun))
            try:
                return [row async for page in pages for row in page]
            except errors.DatabaseError as other:
                raise error if other.code == "INVALID_ARGUMENT" else other

    async def fetchrow(self, query: str, *args, **options: typing.Unpack[Options]) -> Record | None:
        """The first row, or None."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.fetchrow(query, *args, timeout=options["timeout"])
        answer = await self._read("FetchRow", query, args, options)
        return Columns(answer.columns).record(answer.row) if answer.HasField("row") else None

    async def fetchval(self, query: str, *args, column: int = 0, **options: typing.Unpack[Options]):
        """A value of the first row; None, too, when there is no row."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.fetchval(query, *args, column=column, timeout=options["timeout"])
        return decode((await self._read("FetchVal", query, args, options, column=column)).value)

    async def execute(self, query: str, *args, **options: typing.Unpack[Options]) -> str:
        """Runs a statement, or without arguments several, for what it does: `INSERT 0 1`."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.execute(query, *args, timeout=options["timeout"])
        answer = await self._run("Execute", query, args, options,
                                 invalidate_cache=options["invalidate_cache"])
        return answer.outcome.command_tag

    async def execute_many(self, query: str, args_list, **options: typing.Unpack[Options]) -> None:
        """Runs a statement for each of many rows of arguments, all or none."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.executemany(query, args_list, timeout=options["timeout"])

        async def requests():
            request = message("ExecuteManyRequest")
            yield request(sql=query)
            async for rows in chunks(args_list):
                yield request(rows=rows)

        await self._send("ExecuteMany", requests, args_list, options)

    executemany = execute_many

    async def copy_records_to_table(self, table_name: str, records, columns=None, *, schema_name=None,
                                    **options: typing.Unpack[Options]) -> str:
        """Adds rows to a table by COPY, all or none, as fast as they are taken: `COPY 5`."""
        options = self._options(**options)
        if inside := current(self):
            return await inside.copy_records_to_table(
                table_name, records=records, columns=columns, schema_name=schema_name,
                timeout=options["timeout"])

        async def requests():
            request = message("CopyInRequest")
            yield request(table=copy_target(table_name, schema_name), columns=columns or ())
            async for rows in chunks(records):
                yield request(rows=rows)

        return f"COPY {(await self._send('CopyIn', requests, records, options)).row_count}"

    def transaction(self, *, isolation: str | None = None, readonly: bool = False,
                    deferrable: bool = False) -> Transaction:
        """`async with db.transaction():`, or `async with await db.transaction():`. Within another it is a
        savepoint. `isolation` is `read_committed`, `repeatable_read` or `serializable`."""
        return Transaction(self, isolation, readonly, deferrable)

    async def execute_in_transaction(self, queries, **options: typing.Unpack[Options]) -> None:
        """Runs pairs of a statement and its arguments in order, all or none."""
        options = self._options(**options)
        queries = list(queries)
        if current(self):
            async with self.transaction() as inside:
                for sql, args in queries:
                    await inside.execute(sql, *args, timeout=options["timeout"])
        elif queries:
            request = message("ExecuteInTransactionRequest")(
                queries=[statement(sql, args) for sql, args in queries], options=options["run"])
            await self._retried(options, lambda: self.channel.call(
                "DatabaseService/ExecuteInTransaction", request, options["timeout"]))

    async def execute_with_callback(self, callback, *args, **kwargs):
        """What the callback makes of this database, which it is given in place of a connection."""
        return await callback(self, *args, **kwargs)

    async def prepare_statement(self, name: str, query: str):
        """Gives a statement a name. The server checks it, and has it ready on its connections."""
        found = self.prepared.get(name)
        if not found or found.query != query:
            answer = await self.channel.call("DatabaseService/Prepare",
                                             message("PrepareRequest")(name=name, sql=query),
                                             self.command_timeout)
            self.prepared[name] = found = PreparedStatement(self, query, answer)
        return found

    async def execute_script(self, script_path, timeout: float | None = 300.0,
                             **options: typing.Unpack[Options]) -> None:
        """Runs the statements of a file, all or none."""
        options = self._options(timeout=timeout, **options)
        script = await asyncio.to_thread(pathlib.Path(script_path).read_text, encoding="utf-8")
        if inside := current(self):
            await inside.execute(script, timeout=options["timeout"])
            return

        async def run():
            async for _ in self.channel.stream("DatabaseService/ExecuteScript",
                                               message("ExecuteScriptRequest")(script=script),
                                               options["timeout"]):
                pass

        await self._retried(options, run)

    async def fetch_with_timeout(self, query: str, *args, timeout_seconds: float = 5.0,
                                 **options: typing.Unpack[Options]) -> list[Record]:
        return await self.fetch(query, *args, **options | {"timeout": timeout_seconds})

    async def fetchrow_with_timeout(self, query: str, *args, timeout_seconds: float = 5.0,
                                    **options: typing.Unpack[Options]) -> Record | None:
        return await self.fetchrow(query, *args, **options | {"timeout": timeout_seconds})

    async def paginate(self, query: str, *args, page_size: int = 100, timeout_seconds: float = 30.0):
        """The rows of a SELECT in pages, all of one moment. The timeout is for all of it, and for what
        the caller does meanwhile; within a transaction it is that one's."""
        if page_size < 1:
            raise errors.DataError(f"page_size must be at least 1, not {page_size}")
        if inside := current(self):
            async for page in inside.pages(query, args, page_size):
                yield page
            return
        request = message("StreamFetchRequest")(query=statement(query, args), page_size=page_size)
        columns = None
        async for answer in self.channel.stream("DatabaseService/StreamFetch", request, timeout_seconds):
            columns = columns or Columns(answer.table.columns)
            if answer.table.rows:
                yield records(answer.table, columns)

    async def check_connection_health(self) -> bool:
        """Whether a server can be reached and serves."""
        try:
            answer = await self.channel.call("grpc.health.v1.Health/Check",
                                             message("grpc.health.v1.HealthCheckRequest")(),
                                             self.connect_timeout)
        except errors.DatabaseError:
            return False
        return answer.status == answer.SERVING

    health = check_connection_health

    async def validate_connections(self) -> dict:
        """Has the server ask its idle connections for an answer, and replace those that give none."""
        answer = await self.channel.call("AdminService/ValidateConnections",
                                         message("ValidateConnectionsRequest")())
        return {"checked": answer.checked, "dead": answer.dead, "replaced": answer.replaced}

    async def refresh_materialized_views(self) -> None:
        """Computes the views of statistics anew."""
        await self._upkeep("RefreshMaterializedViews", message("RefreshMaterializedViewsRequest")())

    async def apply_additional_optimizations(self) -> None:
        """Makes what is missing of the indexes, views and functions for large databases."""
        await self._upkeep("ApplyOptimizations",
                           message("ApplyOptimizationsRequest")(set="OPTIMIZATION_SET_ADDITIONAL"))
        await self.refresh_materialized_views()

    async def get_cache_stats(self) -> dict:
        """What the cache of the server has done that is asked."""
        answer = await self.channel.call("CacheService/GetCacheStats", message("GetCacheStatsRequest")())
        return {name: getattr(answer, name) for name in CACHE_STATS}

    async def call(self, operation: str, request, timeout: float | None = None):
        """The answer of a unary method of any service, `QuotesService/GetQuote`, to its request."""
        if inside := current(self):
            return await inside.call(operation, request, timeout)
        return await self.channel.call(operation, request, timeout)

    def _options(self, timeout=None, retries=3, retry_delay=0.5, monitor=True, use_cache=True,
                 invalidate_cache=True):
        return {"timeout": self.command_timeout if timeout is None else timeout, "use_cache": use_cache,
                "invalidate_cache": invalidate_cache, "retries": retries, "retry_delay": retry_delay,
                "run": {"attempts": min(retries, MOST_ATTEMPTS), "retry_delay": seconds(retry_delay)}}

    async def _read(self, rpc, sql, args, options, **fields):
        return await self._run(rpc, sql, args, options, use_cache=options["use_cache"], **fields)

    async def _run(self, rpc, sql, args, options, **fields):
        request = message(f"{rpc}Request")(query=statement(sql, args), options=options["run"], **fields)
        return await self._retried(
            options, lambda: self.channel.call(f"DatabaseService/{rpc}", request, options["timeout"]))

    async def _send(self, rpc, requests, rows, options):
        # What came from an iterator is gone.
        if not hasattr(rows, "__len__"):
            options = options | {"retries": 1}
        return await self._retried(options, lambda: self.channel.send(
            f"DatabaseService/{rpc}", requests(), options["timeout"]), errors.RetryableError)

    async def _retried(self, options, attempt, *kinds):
        """Another attempt is made when the server had too much to do or was about to leave, and for errors
        of these kinds. All others that may pass the server tries again itself."""
        delay = options["retry_delay"]
        for left in range(options["retries"] - 1, -1, -1):
            try:
                return await attempt()
            except errors.DatabaseError as error:
                if not left or not (error.reason in UNDONE or isinstance(error, kinds)):
                    raise
                delay = max(delay, error.retry_after or 0)
            await asyncio.sleep(delay)
            delay *= 2
        raise errors.DataError(f"retries must be at least 1, not {options['retries']}")

    async def _upkeep(self, rpc, request):
        failed = []
        try:
            async for answer in self.channel.stream(f"AdminService/{rpc}", request):
                if answer.step.outcome == FAILED:
                    failed.append(f"{answer.step.name}: {answer.step.detail}")
        except errors.DatabaseError as error:
            for step in failed:
                error.add_note(step)
            raise


class PreparedStatement:
    """A statement that was given a name. It is sent as it is: every server knows it then, also one that
    has begun since, and what comes often is kept prepared whatever it is called."""

    def __init__(self, database, query, described):
        self.database = database
        self.query = query
        self.parameter_types = list(described.parameter_types)

    async def execute(self, *args, **options: typing.Unpack[Options]):
        return await self.database.execute(self.query, *args, **options)

    async def fetch(self, *args, **options: typing.Unpack[Options]):
        return await self.database.fetch(self.query, *args, **options)

    async def fetchrow(self, *args, **options: typing.Unpack[Options]):
        return await self.database.fetchrow(self.query, *args, **options)

    async def fetchval(self, *args, column=0, **options: typing.Unpack[Options]):
        return await self.database.fetchval(self.query, *args, column=column, **options)


class DatabaseTransaction:
    """`async with DatabaseTransaction(db) as held:`; statements by `held.transaction.conn`."""

    def __init__(self, db):
        self.transaction = db.transaction()

    async def __aenter__(self):
        await self.transaction.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self.transaction.__aexit__(*error)
