"""Who may run SQL of his own, and what: grants, reading only, and roles of the database."""

import unittest

import grpc
from google.protobuf import any_pb2
from raw import Conversation, query, rows
from twi.data.v1 import cache_pb2, database_pb2, database_pb2_grpc

import guarded
import server as program

PRINCIPALS = """
principal { name: "author" allow: "*" raw_sql: true }
principal { name: "reader" allow: "*" raw_sql: true read_only: true }
principal { name: "clerk" allow: "DatabaseService/*" raw_sql: true database_role: "clerk's \\"own\\"" }
principal { name: "lost" allow: "DatabaseService/*" raw_sql: true database_role: "nobody" }
principal { name: "none" allow: "*" }
"""
NAMES = ["author", "reader", "clerk", "lost", "none"]
ROLE = 'clerk\'s "own"'.replace('"', '""')


class RawAccess(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.guard = cls.enterClassContext(guarded.Guard(PRINCIPALS, NAMES))
        cls.server = cls.enterClassContext(program.Server(*cls.guard.flags(tls=False)))
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        program.query(cls.server.dsn, f"""
            create role "{ROLE}"; create table t (id int); create table secret (id int);
            grant select, insert on t to "{ROLE}"; create sequence s""")

    def stub(self, principal):
        """Calls that bring the principal's token."""
        class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
                     grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
            def intercept(self, proceed, details, request, token=self.guard.tokens[principal]):
                return proceed(details._replace(metadata=guarded.bearer(token)), request)
            intercept_unary_unary = intercept_unary_stream = intercept
            intercept_stream_unary = intercept_stream_stream = intercept
        return database_pb2_grpc.DatabaseServiceStub(
            grpc.intercept_channel(self.channel, Bearer()))

    def fetch(self, principal, sql):
        return rows(self.stub(principal).Fetch(database_pb2.FetchRequest(query=query(sql))).table)

    def refusal(self, call, *arguments):
        """The code and the reason with which it is refused."""
        with self.assertRaises(grpc.RpcError) as context:
            call(*arguments)
        return context.exception.code().name, guarded.details(
            context.exception)["ErrorInfo"].reason

    def test_who_has_no_grant_runs_none(self):
        self.assertEqual(self.refusal(self.fetch, "none", "select 1"),
                         ("PERMISSION_DENIED", "NOT_GRANTED"))
        self.assertEqual(self.fetch("author", "select 1"), [(1,)])

    def test_answers_are_kept_of_those_who_read_as_the_server_does(self):
        sql = "select quote from quotes where serial_id = 1"
        program.query(self.server.dsn, f'grant select on quotes to "{ROLE}"')
        request = database_pb2.FetchRequest(query=query(sql))

        def ask(principal):
            _, call = self.stub(principal).Fetch.with_call(request)
            return dict(call.trailing_metadata()).get("x-cache")
        self.assertTrue(program.eventually(lambda: ask("author") == "hit", 30))
        self.assertTrue(program.eventually(lambda: ask("reader") == "hit", 30))
        self.assertIsNone(ask("clerk"))
        packed = any_pb2.Any()
        packed.Pack(request)
        explain = self.channel.unary_unary(
            "/twi.data.v1.CacheService/ExplainCache",
            cache_pb2.ExplainCacheRequest.SerializeToString,
            cache_pb2.ExplainCacheResponse.FromString)

        def why(principal):
            return explain(cache_pb2.ExplainCacheRequest(operation="DatabaseService/Fetch", request=packed),
                           metadata=guarded.bearer(self.guard.tokens[principal])).refusal
        self.assertEqual(why("author"), "")
        self.assertEqual(self.refusal(why, "none"), ("PERMISSION_DENIED", "NOT_GRANTED"))

    def test_a_reader_changes_nothing(self):
        self.assertEqual(self.fetch("reader", "select count(*) from t"), [(0,)])
        self.assertEqual(self.fetch("reader", "show transaction_read_only"), [("on",)])
        self.assertIn("Seq Scan", self.fetch("reader", "explain select * from t")[0][0])
        for sql in ("insert into t values (1)", "select nextval('s')",
                    "with d as (delete from t returning id) select * from d",
                    "explain analyze insert into t values (1)"):
            self.assertEqual(self.refusal(self.fetch, "reader", sql),
                             ("FAILED_PRECONDITION", "READ_ONLY"), sql)
        for sql in ("set transaction read write", "set transaction_read_only = off", "create table u ()",
                    "do $$ begin end $$", "select set_config('transaction_read_only', 'off', true)",
                    "vacuum t", "lock table t"):
            self.assertEqual(self.refusal(self.fetch, "reader", sql),
                             ("PERMISSION_DENIED", "NOT_GRANTED"), sql)
        stub = self.stub("reader")
        for one_by_one in (False, True):
            call = stub.ExecuteScript(database_pb2.ExecuteScriptRequest(
                script="select 1; insert into t values (1)", one_by_one=one_by_one))
            self.assertEqual(self.refusal(list, call), ("FAILED_PRECONDITION", "READ_ONLY"))
        with Conversation(stub) as transaction:
            self.assertEqual(transaction.execute("insert into t values (1)").error.code,
                             grpc.StatusCode.FAILED_PRECONDITION.value[0])
        self.assertEqual(self.fetch("author", "select count(*) from t"), [(0,)])

    def test_a_role_of_the_database(self):
        self.assertEqual(self.fetch("clerk", "select current_user"), [('clerk\'s "own"',)])
        self.assertEqual(self.fetch("clerk", "insert into t values (7) returning id"), [(7,)])
        self.assertEqual(self.refusal(self.fetch, "clerk", "select * from secret"),
                         ("PERMISSION_DENIED", "PERMISSION_DENIED"))
        for sql in ("reset role", "set role postgres", "set session authorization default",
                    "select set_config('role', 'none', false)", "do $$ begin reset role; end $$",
                    "select 1; reset role"):
            self.assertEqual(self.refusal(
                lambda sql: self.stub("clerk").Execute(database_pb2.ExecuteRequest(query=query(sql))),
                sql), ("PERMISSION_DENIED", "NOT_GRANTED"), sql)
        with Conversation(self.stub("clerk")) as transaction:
            self.assertEqual(transaction.fetch("select current_user"), [('clerk\'s "own"',)])
        # The same connections, for others.
        for _ in range(10):
            self.assertEqual(self.fetch("author", "select current_user = session_user"), [(True,)])
        self.execute_and_forget("delete from t")
        self.assertEqual(self.refusal(self.fetch, "lost", "select 1")[0], "INVALID_ARGUMENT")

    def execute_and_forget(self, sql):
        self.stub("author").Execute(database_pb2.ExecuteRequest(query=query(sql)))

    def test_it_has_to_be_offered(self):
        for flags, offered in (([], False), (["--raw_sql"], True)):
            with program.Server(f"--dsn={self.server.dsn}", *flags) as other, \
                    grpc.insecure_channel(other.grpc) as channel:
                stub = database_pb2_grpc.DatabaseServiceStub(channel)
                request = database_pb2.FetchRequest(query=query("select 1"))
                if offered:
                    self.assertEqual(rows(stub.Fetch(request).table), [(1,)])
                    continue
                self.assertEqual(self.refusal(stub.Fetch, request),
                                 ("PERMISSION_DENIED", "NOT_GRANTED"))
                self.assertEqual(self.refusal(Conversation, stub),
                                 ("PERMISSION_DENIED", "NOT_GRANTED"))


if __name__ == "__main__":
    unittest.main()
