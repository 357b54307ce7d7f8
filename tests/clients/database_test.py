"""DatabaseService: single calls with SQL of the caller's own, by Python's grpcio."""

import json
import time
import unittest

import grpc
from google.protobuf import duration_pb2, json_format
from quotes_test import details
from raw import Code, Conversation, Database, Value, make, plain, query, row, rows
from twi.data.v1 import database_pb2, quotes_pb2, quotes_pb2_grpc, transaction_pb2, value_pb2

import server as program

# What each type is sent as, and the kind and text that come back: psql prints the same text.
TYPES = [
    ("boolean", "true", "boolean"), ("smallint", "-32768", "integer"),
    ("integer", "2147483647", "integer"), ("bigint", "-9223372036854775808", "integer"),
    ("oid", "4294967295", "integer"), ("real", "0.1", "real"), ("real", "-Infinity", "real"),
    ("double precision", "0.30000000000000004", "real"), ("double precision", "NaN", "real"),
    ("double precision", "1e+300", "real"),
    ("numeric", "12345678901234567890.0987654321", "numeric"), ("numeric", "NaN", "numeric"),
    ("text", "Ünï 🎭 'q' \"d\" \\ $1", "text"), ("varchar(5)", "abc", "text"),
    ("character(5)", "ab   ", "text"), ("name", "n", "text"), ("bytea", "\\x00ff10", "bytea"),
    ("json", '{"a": [1, null]}', "json"), ("jsonb", '{"a": [1, null]}', "json"),
    ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "uuid"), ("date", "2026-11-27", "date"),
    ("date", "infinity", "date"), ("date", "0044-03-15 BC", "date"), ("time", "12:30:00.5", "time"),
    ("timestamp", "2026-11-27 12:30:00.123456", "timestamp"), ("timestamp", "-infinity", "timestamp"),
    ("timestamptz", "2026-11-27 12:30:00+00", "timestamptz"), ("timestamptz", "infinity", "timestamptz"),
    ("interval", "1 year 2 mons -3 days +04:05:06.7", "interval"), ("mood", "calm", "other"),
    ("int4range", "[1,5)", "other"), ("inet", "192.168.0.1/24", "other"),
    ("tsvector", "'a':1 'b':2", "other"), ("pair", '(1,"a b")', "other"),
    ("integer[]", "{1,NULL,3}", "array"), ("text[]", '{a,NULL,"NULL","","a,b","\\"\\\\"}', "array"),
    ("integer[]", "{{1,2},{3,4}}", "array"), ("integer[]", "{}", "array"),
    ("mood[]", "{calm,NULL}", "array"), ("bytea[]", '{"\\\\x01"}', "array"),
    ("timestamptz[]", '{"2026-11-27 12:30:00+00"}', "array"), ("integer[]", "[2:3]={1,2}", "other"),
]


class Values(Database):

    def test_every_type_goes_there_and_back(self):
        for kind, text, expected in TYPES:
            with self.subTest(kind=kind, text=text):
                # As psql prints it, from a literal.
                printed = self.psql(f"select $q${text}$q$::{kind}")
                first = self.value(f"select $q${text}$q$::{kind}")
                self.assertEqual(first.value.WhichOneof("kind"), expected)
                # What came is sent, read by the type, and printed by the database.
                sent = self.fetch(f"select $1::{kind}::text", first.value)[0][0]
                printed_text = self.psql(f"select $q${text}$q$::{kind}::text")
                self.assertEqual(sent, printed_text if printed_text else printed)
                again = self.value(f"select $1::{kind}", first.value)
                # NaN is not equal to itself, but prints the same.
                self.assertEqual(str(again), str(first))

    def test_rows_without_columns_are_rows(self):
        self.assertEqual(self.fetch("select from generate_series(1, 2)"), [(), ()])
        self.assertEqual(self.fetch("select from generate_series(1, 0)"), [])

    def test_columns_say_their_types(self):
        table = self.stub.Fetch(database_pb2.FetchRequest(query=query(
            "select 1::int2 as a, 'calm'::mood as b, array['calm'::mood] as c, null::uuid as d"))).table
        self.assertEqual([(column.name, column.type) for column in table.columns],
                         [("a", "smallint"), ("b", "mood"), ("c", "mood[]"), ("d", "uuid")])
        self.assertEqual(rows(table), [(1, "calm", ["calm"], None)])
        self.assertEqual(table.rows[0].values[1].other.type, "mood")

    def test_integers_and_infinities_survive_json(self):
        answer = self.stub.FetchRow(database_pb2.FetchRowRequest(query=query(
            "select 9223372036854775807, 'infinity'::float8, 'nan'::float4, '-infinity'::timestamptz")))
        text = json_format.MessageToJson(answer)
        self.assertEqual([list(value.values()) for value in json.loads(text)["row"]["values"]],
                         [["9223372036854775807"], ["Infinity"], ["NaN"], ["-infinity"]])
        # NaN is not equal to itself.
        self.assertEqual(json_format.MessageToJson(json_format.Parse(
            text, database_pb2.FetchRowResponse())), text)

    def test_a_placeholder_without_a_type_has_that_of_its_value(self):
        for value, expected in ((1, "bigint"), (True, "boolean"), (1.0, "double precision"),
                                ("1", "text"), (b"1", "bytea"), ([1], "bigint[]"),
                                (Value(numeric="1"), "numeric")):
            self.assertEqual(plain(self.value("select pg_typeof($1)::text", value).value), expected)

    def test_what_cannot_be_a_parameter_is_refused_by_its_path(self):
        for value, path in ((Value(text="a\0b"), "query.parameters[1]"),
                            (Value(array=value_pb2.Array(elements=[Value(text="\0")])),
                             "query.parameters[1]"),
                            ([[[[[[[1]]]]]]], "query.parameters[1]")):
            with self.assertRaises(grpc.RpcError) as context:
                self.fetch("select $1::int, $2::text", 1, value)
            self.assertEqual(context.exception.code(), Code.INVALID_ARGUMENT)
            violations = details(context.exception)["BadRequest"].field_violations
            self.assertEqual([violation.field for violation in violations], [path])


class Calls(Database):

    def test_the_shapes_of_one_statement(self):
        self.execute("insert into t select g, 'v' || g from generate_series(1, 3) g")
        sql = "select id, v from t order by id"
        self.assertEqual(self.fetch(sql), [(1, "v1"), (2, "v2"), (3, "v3")])
        self.assertEqual(plain(self.stub.FetchRow(database_pb2.FetchRowRequest(
            query=query(sql))).row.values[1]), "v1")
        self.assertEqual(plain(self.value(sql).value), 1)
        self.assertEqual(plain(self.value(sql, column=1).value), "v1")
        self.assertEqual(self.value(sql, column=1).type, "text")
        code, reason, _ = self.failure(self.value, sql, column=2)
        self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "FIELD_INVALID"))

    def test_no_row_is_not_null(self):
        self.assertFalse(self.value("select 1 where false").HasField("value"))
        null = self.value("select null::int")
        self.assertTrue(null.HasField("value"))
        self.assertIsNone(plain(null.value))
        empty = self.stub.FetchRow(database_pb2.FetchRowRequest(query=query("select 1 where false")))
        self.assertFalse(empty.HasField("row"))
        self.assertEqual(len(empty.columns), 1)

    def test_what_was_done_is_told(self):
        told = [self.execute(sql) for sql in (
            "insert into t values (1), (2), (3)", "update t set v = 'x' where id > 1",
            "delete from t where id = 3", "select * from t", "create table u (id int)",
            "drop table u")]
        self.assertEqual([(each.command_tag, each.affected_rows) for each in told],
                         [("INSERT 0 3", 3), ("UPDATE 2", 2), ("DELETE 1", 1), ("SELECT 2", 2),
                          ("CREATE TABLE", 0), ("DROP TABLE", 0)])

    def test_returning_runs_each_time(self):
        self.execute("create sequence if not exists s")
        sql = "insert into t values (nextval('s')) returning id"
        first, second = plain(self.value(sql).value), plain(self.value(sql).value)
        self.assertEqual(second, first + 1)
        self.assertEqual(self.psql("select count(*) from t"), "2")

    def test_several_statements_are_one_transaction(self):
        outcome = self.execute("create table if not exists w (id int); insert into w values (1), (2); "
                               "insert into t values (1); -- the last\n")
        self.assertEqual(outcome.command_tag, "INSERT 0 1")
        code, _, said = self.failure(
            self.execute, "insert into w values (3); insert into t values (1)")
        self.assertEqual((code, said["statement"], said["constraint"]),
                         (Code.ALREADY_EXISTS, "2", "t_pkey"))
        self.assertEqual(self.psql("select count(*) from w"), "2")
        code, _, _ = self.failure(self.execute, "select $1; select 2", 1)
        self.assertEqual(code, Code.INVALID_ARGUMENT)
        code, reason, _ = self.failure(self.fetch, "select 1; select 2")
        self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "SQL_INVALID"))

    def test_statements_in_one_transaction(self):
        request = database_pb2.ExecuteInTransactionRequest(queries=[
            query("insert into t values ($1, $2)", 1, "a"),
            query("update t set v = v || $1 where id = $2 returning v", "b", 1)])
        outcomes = self.stub.ExecuteInTransaction(request).outcomes
        self.assertEqual([outcome.command_tag for outcome in outcomes], ["INSERT 0 1", "UPDATE 1"])
        self.assertEqual(rows(outcomes[1].table), [("ab",)])
        request.queries[0].parameters[0].integer = 2
        request.queries.append(query("insert into t values (1)"))
        code, _, said = self.failure(self.stub.ExecuteInTransaction, request)
        self.assertEqual((code, said["statement"]), (Code.ALREADY_EXISTS, "3"))
        self.assertEqual(self.psql("select count(*), max(v) from t"), "1|ab")
        request.begin.read_only = True
        code, reason, said = self.failure(self.stub.ExecuteInTransaction, request)
        self.assertEqual((code, reason, said["statement"]),
                         (Code.FAILED_PRECONDITION, "READ_ONLY", "1"))

    def test_what_fails_costs_no_connections(self):
        before = program.metric(self.server, "twi_data_db_pool_connections_opened_total")
        for n in range(40):
            self.failure(self.execute, "select 1; select 1 / 0")
        self.assertLess(program.metric(self.server, "twi_data_db_pool_connections_opened_total"),
                        before + 10)

    def test_errors_say_what_and_where_and_no_values(self):
        self.execute("insert into t values (1, 'secret')")
        for sql, parameters, expected in (
                ("selec 1", (), (Code.INVALID_ARGUMENT, "SQL_INVALID", {})),
                ("", (), (Code.INVALID_ARGUMENT, "FIELD_INVALID", {})),
                ("-- nothing", (), (Code.INVALID_ARGUMENT, "SQL_INVALID", {})),
                ("select * from nowhere", (),
                 (Code.INVALID_ARGUMENT, "SQL_INVALID", {"sqlstate": "42P01", "position": "15"})),
                ("select nothing from t", (),
                 (Code.INVALID_ARGUMENT, "SQL_INVALID", {"sqlstate": "42703", "position": "8"})),
                ("select $1::int, $2::int", (1,),
                 (Code.INVALID_ARGUMENT, "VALUE_INVALID", {"sqlstate": "08P01"})),
                ("select $1::int, $2::int", (1, "x"),
                 (Code.INVALID_ARGUMENT, "VALUE_INVALID", {"sqlstate": "22P02", "parameter": "2"})),
                ("insert into t values (1, 'secret')", (),
                 (Code.ALREADY_EXISTS, "ROW_EXISTS", {"constraint": "t_pkey", "table": "t"})),
                ("insert into t values (2, repeat('secret', 50))", (),
                 (Code.FAILED_PRECONDITION, "CONSTRAINT_VIOLATED", {"constraint": "short"})),
                ("insert into t values (null)", (),
                 (Code.INVALID_ARGUMENT, "VALUE_INVALID", {"column": "id", "table": "t"})),
                ("select 1 / 0", (), (Code.INVALID_ARGUMENT, "VALUE_INVALID", {"sqlstate": "22012"})),
                ("begin", (), (Code.INVALID_ARGUMENT, "SQL_INVALID", {})),
                ("copy t from stdin", (), (Code.INVALID_ARGUMENT, "SQL_INVALID", {}))):
            with self.subTest(sql):
                code, reason, said = self.failure(self.fetch, sql, *parameters)
                self.assertEqual((code, reason), expected[:2])
                self.assertLessEqual(expected[2].items(), dict(said).items())
                self.assertNotIn("secret", str(said))

    def test_what_is_too_large_names_the_stream(self):
        # Each way: cancelled while it comes, and found when it is told.
        for size in (300_000, 6_000):
            code, reason, _ = self.failure(
                self.fetch, f"select repeat('x', 1000) from generate_series(1, {size})")
            self.assertEqual((code, reason), (Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE"))
        self.assertEqual(self.fetch("select 1"), [(1,)])
        # What was done for it is undone.
        code, _, _ = self.failure(
            self.fetch, "insert into t select g from generate_series(1, 6000) g "
                        "returning repeat('x', 1000)")
        self.assertEqual(code, Code.RESOURCE_EXHAUSTED)
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_a_timeout_ends_the_statement(self):
        for options in ({"timeout": 0.2}, {}):
            request = database_pb2.FetchRequest(query=query("select pg_sleep(30)"))
            if not options:
                request.options.timeout.FromMilliseconds(200)
            with self.assertRaises(grpc.RpcError) as context:
                self.stub.Fetch(request, **options)
            self.assertEqual(context.exception.code(), Code.DEADLINE_EXCEEDED)
        self.assertTrue(program.eventually(lambda: self.psql(
            "select count(*) from pg_stat_activity where query ~ 'pg_slee[p]' and state = 'active'")
            == "0"))

    def test_attempts(self):
        for attempts in (0, -1, 11):
            code, *_ = self.failure(self.fetch, "select 1", attempts=attempts)
            self.assertEqual(code, Code.INVALID_ARGUMENT)
        self.execute("create or replace function f() returns bigint language plpgsql as $$ begin "
                     "perform nextval('tries'); raise exception sqlstate '40001'; end $$;"
                     "drop sequence if exists tries; create sequence tries")
        for attempts, tries in ((1, 1), (3, 3)):
            self.psql("alter sequence tries restart")
            delay = duration_pb2.Duration(nanos=1_000_000)
            code, reason, _ = self.failure(self.fetch, "select f()", attempts=attempts,
                                           retry_delay=delay)
            self.assertEqual((code, reason), (Code.ABORTED, "SERIALIZATION_FAILURE"))
            self.assertEqual(self.psql("select last_value from tries"), str(tries))
        # No pause goes beyond the deadline.
        begin = time.monotonic()
        delay = duration_pb2.Duration(seconds=30)
        self.failure(self.fetch, "select f()", retry_delay=delay,
                     timeout=duration_pb2.Duration(seconds=5))
        self.assertLess(time.monotonic() - begin, 5)

    def test_a_lost_connection(self):
        die = "pg_terminate_backend(pg_backend_pid())"
        # A read is run again, a write only for who says so.
        code, reason, _ = self.failure(self.execute, f"insert into t select 1 where {die}")
        self.assertEqual((code, reason), (Code.UNKNOWN, "OUTCOME_UNKNOWN"))
        code, reason, _ = self.failure(self.execute, f"insert into t select 1 where {die}",
                                       attempts=2, idempotent=True,
                                       retry_delay=duration_pb2.Duration(nanos=1_000_000))
        self.assertEqual((code, reason), (Code.UNKNOWN, "OUTCOME_UNKNOWN"))
        self.assertEqual(self.fetch("select count(*) from t"), [(0,)])

    def test_nothing_is_left_behind(self):
        before = self.psql("select count(distinct pid) from pg_stat_activity "
                           "where application_name = 'twi-data'")
        for sql in ("set search_path = nowhere", "set timezone = 'Asia/Tokyo'",
                    "create temp table left_behind (id int)", "select pg_advisory_lock(7)",
                    "listen news", "set role pg_monitor", "prepare p as select 1"):
            self.execute(sql)
        for _ in range(8):
            self.assertEqual(self.fetch("select current_setting('search_path'), "
                                        "current_setting('timezone'), to_regclass('left_behind')::text, "
                                        "current_user = session_user"),
                             [('"$user", public', "UTC", None, True)])
        self.assertEqual(self.psql("select count(*) from pg_locks where locktype = 'advisory' and "
                                   "objid = 7"), "0")
        after = self.psql("select count(distinct pid) from pg_stat_activity "
                          "where application_name = 'twi-data'")
        self.assertLessEqual(int(after), max(int(before), 12))

    def test_whoever_hears_of_it_finds_it(self):
        """What raw SQL changes is in the next answer of an operation that is kept."""
        quotes = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        made = quotes.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="old")).quote
        get = quotes_pb2.GetQuoteRequest(serial_id=made.serial_id)
        for text in ("new", "newer"):
            self.assertTrue(quotes.GetQuote(get).quote.quote)
            self.execute("update quotes set quote = $1 where serial_id = $2", text, made.serial_id)
            self.assertEqual(quotes.GetQuote(get).quote.quote, text)
            with Conversation(self.stub) as transaction:
                transaction.execute("update quotes set quote = quote || '!' where serial_id = $1",
                                    made.serial_id)
                self.assertEqual(quotes.GetQuote(get).quote.quote, text)
                self.assertEqual(transaction.commit(), "committed")
                self.assertEqual(quotes.GetQuote(get).quote.quote, text + "!")


class Prepared(Database):

    def prepare(self, name, sql):
        return self.stub.Prepare(database_pb2.PrepareRequest(name=name, sql=sql))

    def run_prepared(self, name, *parameters):
        return rows(self.stub.Fetch(database_pb2.FetchRequest(query=transaction_pb2.Query(
            prepared=name, parameters=[make(value) for value in parameters]))).table)

    def test_a_name_for_a_text(self):
        told = self.prepare("by id", "select id, v, 'calm'::mood from t where id = $1")
        self.assertEqual(list(told.parameter_types), ["bigint"])
        self.assertEqual([(column.name, column.type) for column in told.columns],
                         [("id", "bigint"), ("v", "text"), ("mood", "mood")])
        self.execute("insert into t values (1, 'a')")
        self.assertEqual(self.run_prepared("by id", 1), [(1, "a", "calm")])
        self.assertEqual(self.run_prepared("by id", 2), [])
        self.assertEqual(self.prepare("by id", "select id, v, 'calm'::mood from t where id = $1"), told)
        code, reason, _ = self.failure(self.prepare, "by id", "select 1")
        self.assertEqual((code, reason), (Code.ALREADY_EXISTS, "PREPARED_EXISTS"))
        # Planned once a connection.
        for _ in range(5):
            self.run_prepared("by id", 1)
        self.assertEqual(plain(self.value("select count(*) < 10 and max(generic_plans + custom_plans) > 1"
                                          " from pg_prepared_statements where statement ~ 'mood'")
                               .value), True)
        # It outlives changes of what it reads, and connections.
        self.execute("alter table t alter id type int")
        self.assertEqual(self.run_prepared("by id", 1), [(1, "a", "calm")])
        self.psql("select pg_terminate_backend(pid) from pg_stat_activity "
                  "where application_name = 'twi-data'")
        self.assertTrue(program.eventually(lambda: self.answers("by id", 1) == [(1, "a", "calm")]))

        self.stub.Unprepare(database_pb2.UnprepareRequest(name="by id"))
        code, reason, _ = self.failure(self.run_prepared, "by id", 1)
        self.assertEqual((code, reason), (Code.NOT_FOUND, "PREPARED_UNKNOWN"))
        code, *_ = self.failure(self.stub.Unprepare, database_pb2.UnprepareRequest(name="by id"))
        self.assertEqual(code, Code.NOT_FOUND)

    def answers(self, *prepared):
        try:
            return self.run_prepared(*prepared)
        except grpc.RpcError:
            return None

    def test_what_cannot_be_prepared(self):
        for name, sql in (("", "select 1"), ("n", ""), ("n", "select 1; select 2"), ("n", "selec"),
                          ("n", "select * from nowhere"), ("n", "commit")):
            code, *_ = self.failure(self.prepare, name, sql)
            self.assertEqual(code, Code.INVALID_ARGUMENT, sql)


if __name__ == "__main__":
    unittest.main()
