"""Answers to SQL of the caller's own that are kept: of what, for whom, and never stale."""

import unittest

import grpc
from google.protobuf import any_pb2
from raw import Conversation, Database, make, plain, query, rows
from twi.data.v1 import (cache_pb2, cache_pb2_grpc, database_pb2, quotes_pb2, quotes_pb2_grpc,
                         transaction_pb2, value_pb2)

import server as program

CHANGES = "it may change something, or is volatile"
READ = "select serial_id, quote from quotes where serial_id = $1"


class RawCache(Database):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cache = cache_pb2_grpc.CacheServiceStub(cls.channel)
        cls.quotes = quotes_pb2_grpc.QuotesServiceStub(cls.channel)

    def setUp(self):
        self.psql("delete from quotes; insert into quotes (serial_id, quote, author)"
                  " select n, 'Quote ' || n, 'Erin' from generate_series(1, 9) n;"
                  "select setval('quotes_serial_id_seq', 9)")

    def ask(self, method, request, freshness=None):
        """The answer, and where it came from; None: from the database, as if there were no cache."""
        metadata = [("x-freshness", freshness)] if freshness else []
        answer, call = getattr(self.stub, method).with_call(request, timeout=60, metadata=metadata)
        return answer, dict(call.trailing_metadata()).get("x-cache")

    def read(self, sql, *parameters, freshness=None, **options):
        request = database_pb2.FetchRequest(query=query(sql, *parameters), **options)
        answer, how = self.ask("Fetch", request, freshness)
        return rows(answer.table), how

    def kept(self, sql, *parameters):
        """The rows, once they are kept."""
        found = []

        def is_hit():
            found[:] = self.read(sql, *parameters)
            return found[1] == "hit"
        self.assertTrue(program.eventually(is_hit, 30), self.explain(sql, *parameters))
        return found[0]

    def explain(self, sql, *parameters, method="Fetch", **fields):
        request = getattr(database_pb2, f"{method}Request")(query=query(sql, *parameters), **fields)
        packed = any_pb2.Any()
        packed.Pack(request)
        return self.cache.ExplainCache(cache_pb2.ExplainCacheRequest(
            operation=f"DatabaseService/{method}", request=packed))

    def test_a_text_that_comes_often_is_kept(self):
        sql = READ + " and 'often' <> ''"
        self.assertEqual(self.explain(sql, 1).refusal, "its text has not come often enough")
        self.assertEqual(self.kept(sql, 1), [(1, "Quote 1")])

        def is_kept():
            self.kept(sql, 1)
            explained = self.explain(sql, 1)
            return explained.refusal == "" and explained.HasField("age")
        self.assertTrue(program.eventually(is_kept, 30))
        self.assertFalse(self.explain(sql, 2).HasField("age"), "another question")

    def test_each_shape_has_its_own_answer(self):
        sql = "select quote, author from quotes order by serial_id"
        self.assertEqual(len(self.kept(sql)), 9)
        one = database_pb2.FetchRowRequest(query=query(sql))
        value = [database_pb2.FetchValRequest(query=query(sql), column=column) for column in (0, 1)]

        def all_are_hits():
            answer, how = self.ask("FetchRow", one)
            self.assertEqual([plain(value) for value in answer.row.values], ["Quote 1", "Erin"])
            self.assertEqual([column.name for column in answer.columns], ["quote", "author"])
            found = [self.ask("FetchVal", request) for request in value]
            self.assertEqual([plain(answer.value) for answer, _ in found], ["Quote 1", "Erin"])
            return {how, *(how for _, how in found)} == {"hit"}
        self.assertTrue(program.eventually(all_are_hits, 30))
        # Values that only look the same are others.
        sql = "select $1::text || '!' as said"
        self.assertEqual(self.kept(sql, "1"), [("1!",)])
        self.assertEqual(self.read(sql, 1)[0], [("1!",)])
        self.assertEqual(self.kept(sql, None), [(None,)])

    def test_no_row_and_null_are_kept_apart(self):
        for sql, has in (("select quote from quotes where serial_id = 77", False),
                         ("select nullif(quote, quote) from quotes where serial_id = 1", True)):
            self.kept(sql)
            request = database_pb2.FetchValRequest(query=query(sql))

            def is_hit(request=request, has=has):
                answer, how = self.ask("FetchVal", request)
                self.assertEqual(answer.HasField("value"), has)
                return how == "hit"
            self.assertTrue(program.eventually(is_hit, 30))

    def test_whoever_hears_of_a_write_finds_it(self):
        def execute(text):
            self.execute("update quotes set quote = $1 where serial_id = 3", text)

        def many(text):
            self.stub.ExecuteMany(iter([database_pb2.ExecuteManyRequest(
                sql="update quotes set quote = $1 where serial_id = 3",
                rows=[value_pb2.Row(values=[make(text)])])]))

        def returning(text):
            self.fetch("update quotes set quote = $1 where serial_id = 3 returning quote", text)

        def transaction(text):
            with Conversation(self.stub) as conversation:
                conversation.execute("update quotes set quote = $1 where serial_id = 3", text)
                conversation.commit()

        def script(text):
            list(self.stub.ExecuteScript(database_pb2.ExecuteScriptRequest(
                script=f"select 1; update quotes set quote = '{text}' where serial_id = 3")))

        def copy(text):
            self.execute("delete from quotes where serial_id = 3")
            self.stub.CopyIn(iter([database_pb2.CopyInRequest(
                table="quotes", columns=["serial_id", "quote"],
                rows=[value_pb2.Row(values=[make(3), make(text)])])]))

        for write in (execute, many, returning, transaction, script, copy):
            for turn in range(5):
                self.kept(READ, 3)
                text = f"{write.__name__} {turn}"
                write(text)
                self.assertEqual(self.read(READ, 3)[0], [(3, text)])

    def test_writes_of_others_are_found_too(self):
        created = self.quotes.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="By an operation"))
        number = created.quote.serial_id
        self.assertEqual(self.kept(READ, number), [(number, "By an operation")])
        self.quotes.DeleteQuote(quotes_pb2.DeleteQuoteRequest(serial_id=number))
        self.assertEqual(self.read(READ, number)[0], [])
        for turn in range(5):
            self.kept(READ, 4)
            self.psql(f"update quotes set quote = 'By psql {turn}' where serial_id = 4")
            self.assertEqual(self.read(READ, 4, freshness="strict")[0], [(4, f"By psql {turn}")])

    def test_an_answer_outlives_writes_to_other_keys(self):
        self.kept(READ, 5)
        dependency = self.explain(READ, 5).dependencies[0]
        self.assertEqual((dependency.table, dependency.key.column, dependency.key.value),
                         ("quotes", "serial_id", "5"))
        # Sent as another kind, it is the same key.
        self.assertEqual(self.explain(READ, " +05").dependencies[0].key.value, "5")

        def outlives(sql, *parameters):
            before = self.kept(sql, *parameters)
            self.execute("update quotes set quote = quote || '!' where serial_id = 6")
            answer, how = self.read(sql, *parameters, freshness="strict")
            self.assertEqual(answer, before)
            return how == "hit"
        self.assertTrue(program.eventually(lambda: outlives(READ, 5), 30))
        for _ in range(5):
            self.assertFalse(outlives("select count(*) from quotes where serial_id > $1", 0))

    def test_what_is_not_kept_and_why(self):
        self.psql("create unlogged table if not exists untold (id bigint primary key);"
                  "create table if not exists unpublished (id bigint primary key);"
                  "create sequence if not exists untold_s")
        for sql, why in (
                ("select now()", "now() depends on more than the tables"),
                ("select random()", CHANGES),
                ("select current_user", "current_user() depends on more than the tables"),
                ("select 'today'::date", "now() depends on more than the tables"),
                ("select * from quotes where time > 'yesterday'", "it names a time that moves"),
                ("select quote::date from quotes where serial_id < 0",
                 "it makes a time of what may be text"),
                ("select ctid from quotes", "it asks for ctid"),
                ("select relname from pg_class limit 1", "pg_class is of the system catalog"),
                ("select id from untold",
                 "no changes are told of untold, which is not permanent"),
                ("select id from unpublished", "unpublished is not published"),
                ("select quote from quotes tablesample system (100)", CHANGES),
                ("select quote from quotes for share", CHANGES),
                ("update quotes set quote = quote returning quote", CHANGES),
                ("select nextval('untold_s')", CHANGES),
                ("select pg_advisory_xact_lock(1)", CHANGES)):
            with self.subTest(sql=sql):
                for _ in range(4):
                    self.read(sql)
                self.assertTrue(program.eventually(lambda: why in self.explain(sql).refusal, 30),
                                self.explain(sql).refusal)
                self.assertTrue(program.eventually(lambda: self.read(sql)[1] is None, 30))
        sql = "select $1::timestamptz < '2000-01-01' as early"
        self.assertEqual(self.kept(sql, "2026-11-27"), [(False,)])
        self.assertEqual(self.explain(sql, "now").refusal, "a parameter names a time that moves")
        self.assertEqual(self.read(sql, "now"), ([(False,)], None))

    def test_a_statement_that_returns_what_it_wrote_runs_each_time(self):
        sql = "insert into quotes (quote) values ($1) returning quote"
        for _ in range(5):
            self.assertEqual(self.read(sql, "Again"), ([("Again",)], None))
        self.assertEqual(self.psql("select count(*) from quotes where quote = 'Again'"), "5")

    def test_a_caller_may_pass_it_by(self):
        self.kept(READ, 7)
        self.assertEqual(self.read(READ, 7, use_cache=False), ([(7, "Quote 7")], None))
        self.assertEqual(self.read(READ, 7, freshness="bypass"), ([(7, "Quote 7")], "bypass"))
        self.assertTrue(program.eventually(lambda: self.read(READ, 7, use_cache=True)[1] == "hit", 30))
        with Conversation(self.stub) as conversation:
            conversation.execute("update quotes set quote = 'Mine' where serial_id = 7")
            self.assertEqual(conversation.fetch(READ, 7), [(7, "Mine")])
            self.assertEqual(self.read(READ, 7)[0], [(7, "Quote 7")])
        self.assertEqual(self.read(READ, 7)[0], [(7, "Quote 7")])

    def test_nobody_is_told_less_than_he_has_read_past_it(self):
        sql = "select count(*) from quotes"
        for turn in range(20):
            self.kept(sql)
            self.psql("insert into quotes (quote) values ('A')")
            seen = self.read(sql, use_cache=False)[0]
            self.assertEqual(seen, [(10 + turn,)])
            self.assertEqual(self.read(sql)[0], seen)

    def test_a_prepared_text_is_the_same_question(self):
        sql = READ + " and 'prepared' <> ''"
        self.stub.Prepare(database_pb2.PrepareRequest(name="by id", sql=sql))
        self.assertEqual(self.kept(sql, 8), [(8, "Quote 8")])
        named = transaction_pb2.Query(prepared="by id", parameters=[make(8)])

        def is_hit():
            answer, how = self.ask("Fetch", database_pb2.FetchRequest(query=named))
            self.assertEqual(rows(answer.table), [(8, "Quote 8")])
            return how == "hit"
        self.assertTrue(program.eventually(is_hit, 30))
        self.stub.Unprepare(database_pb2.UnprepareRequest(name="by id"))

    def test_a_new_schema_has_new_answers(self):
        sql = "select * from quotes where serial_id = 9"
        before = len(self.kept(sql)[0])
        self.execute("alter table quotes add column if not exists more text default 'more'")
        self.assertEqual(len(self.read(sql)[0][0]), before + 1)
        self.assertEqual(self.kept(sql)[0][-1], "more")
        self.execute("alter table quotes drop column more")
        self.assertEqual(len(self.read(sql)[0][0]), before)

    def test_errors_are_not_kept(self):
        sql = "select 1 / $1::int4 as shares"
        for _ in range(4):
            code, reason, _ = self.failure(self.read, sql, 0)
            self.assertEqual((code, reason), (grpc.StatusCode.INVALID_ARGUMENT, "VALUE_INVALID"))
        self.assertEqual(self.kept(sql, 1), [(1,)])
        self.failure(self.read, sql, 0)
        self.assertEqual(self.failure(self.explain, "select nonsense nonsense nonsense")[1],
                         "SQL_INVALID")
        self.assertEqual(self.failure(self.explain, "select 1", method="Execute")[1],
                         "FIELD_INVALID")


if __name__ == "__main__":
    unittest.main()
