"""What the cache of the layer that this service replaces got wrong: see docs/defects.md."""

import unittest

import grpc
from raw import Conversation, Database, Value, query, row, rows
from seed_data import CHANNEL, GUILD, MESSAGE, SAVED, USER
from twi.data.v1 import (admin_pb2_grpc, database_pb2, database_pb2_grpc, quotes_pb2, quotes_pb2_grpc,
                         transaction_pb2, upkeep_pb2)

import server as program

# Statements that read quotes, servers or both, in forms that a cache which looks at the text misreads.
READS = [
    (sql, tables.split()) for sql, tables in (
        ("\n\t select count(*) from quotes", "quotes"),
        ("select count(*)\nfrom\nquotes\nwhere true", "quotes"),
        ("/* quotes */ select count(*) from quotes -- servers;", "quotes"),
        ("with q as (select * from quotes) select count(*) from q", "quotes"),
        ("select count(q.serial_id) from quotes as q", "quotes"),
        ("select count(*) from only public.quotes", "quotes"),
        ('select count(*) from "public"."quotes" "servers"', "quotes"),
        ("select author is null, count(*) from quotes group by 1 order by 2", "quotes"),
        ("table quotes", "quotes"),
        ("values ((select count(*) from quotes))", "quotes"),
        ("select * from counted", "quotes"),
        ("select count(*) from quotes, servers", "quotes servers"),
        ("select count(*) from quotes q cross join servers s", "quotes servers"),
        ("select count(s), count(q) from quotes q full join servers s on false", "quotes servers"),
        ("select (select count(*) from servers) + count(*) from quotes", "quotes servers"),
        ("select count(*) from quotes q, lateral (select q.serial_id from servers) s", "quotes servers"),
        ("select serial_id from quotes union all select server_id from servers", "quotes servers"))]
ADD = {"quotes": "insert into quotes (quote) values ('Read.')",
       "servers": "insert into servers (server_id) select max(server_id) + 1 from servers"}
# Statements that change quotes.
WRITES = [
    "insert into quotes(quote, author) values ('One.', 'a')",
    "insert\ninto\n\tpublic.quotes\n(quote) values ('Two.')",
    '''insert into "quotes" as q (quote) select 'Three.' returning q.serial_id''',
    "update only quotes set quote = quote || '!'",
    'update "public".quotes q set quote = concat(s.server_id, quote) from servers s where s.server_id = 1',
    "with added as (insert into quotes (quote) values ('Four.') returning 1) select * from added",
    "with gone as (delete from quotes where quote ~ 'Four' returning quote) select * from gone",
    "merge into quotes q using (values ('Five.')) v (t) on q.quote = v.t "
    "when not matched then insert (quote) values (v.t)",
    "delete from only quotes using servers where quote = 'Five.'",
    "do $$ begin insert into quotes (quote) values ('Six.'); end $$",
    "select adding('Seven.')",
    "insert into followed values (1)",
    "-- a comment\n/* and another */ insert into quotes (quote) values ('Eight.')",
    "insert into quotes (quote) values ('Nine.'); insert into servers (server_id) values (99)",
    "alter table quotes rename to gone; alter table gone rename to quotes; "
    "insert into quotes (quote) values ('Ten.')",
    "truncate quotes",
]
MAKE = """
insert into servers (server_id, server_name) values (1, 'Inn');
create view counted as select count(*) from quotes;
create function counting() returns bigint stable language sql as 'select count(*) from quotes';
create function adding(text) returns int language sql
  as 'insert into quotes (quote) values ($1) returning serial_id::int';
create table followed (id int);
create function follow() returns trigger language plpgsql
  as $$ begin insert into quotes (quote) values ('Followed.'); return new; end $$;
create trigger follow after insert on followed for each row execute function follow();
"""


class Kept(Database):
    """Of what is kept, of operations and of texts. Before each change the answers are kept ones."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        program.query(cls.server.dsn, MAKE)
        cls.quotes = quotes_pb2_grpc.QuotesServiceStub(cls.channel)

    def setUp(self):
        super().setUp()
        self.psql("delete from quotes; insert into quotes (quote) values ('Zero.')")

    def list(self, freshness="bounded"):
        """The quotes of an operation, and the trailers."""
        answer, call = self.quotes.ListQuotes.with_call(
            quotes_pb2.ListQuotesRequest(page_size=1000), metadata=[("x-freshness", freshness)])
        return sorted(quote.quote for quote in answer.quotes), dict(call.trailing_metadata())

    def read(self, sql, *parameters, freshness="bounded"):
        """The rows of a text, and the trailers."""
        answer, call = self.stub.Fetch.with_call(
            database_pb2.FetchRequest(query=query(sql, *parameters)),
            metadata=[("x-freshness", freshness)])
        return rows(answer.table), dict(call.trailing_metadata())

    def kept(self, read, *arguments):
        """What is read, once it is kept."""
        found = []

        def is_kept():
            found[:] = read(*arguments)
            return found[1].get("x-cache") == "hit"
        self.assertTrue(program.eventually(is_kept, 30), arguments)
        return found[0]

    def assert_changes(self, write):
        """Writes, which must show at once in what was kept until then."""
        told = "select string_agg(quote, '|' order by quote collate \"C\") from quotes"
        before = self.psql(told)
        kept = self.kept(self.list), self.kept(self.read, "select quote from quotes")
        write()
        texts = sorted(text for (text,) in self.read("select quote from quotes")[0])
        self.assertEqual(self.list()[0], texts)
        self.assertEqual(self.psql(told), "|".join(texts))
        self.assertNotEqual(self.psql(told), before)
        self.assertEqual("|".join(kept[0]), before)

    def test_equal_values_of_other_types_are_others(self):
        """C6, C7."""
        values = [(1, "bigint", "1"), (True, "boolean", "t"), (1.0, "double precision", "1"),
                  ("1", "text", "1"), ("true", "text", "true"), (Value(numeric="1"), "numeric", "1"),
                  (Value(numeric="1.0"), "numeric", "1.0"), (b"1", "bytea", "\\x31"),
                  ([1], "bigint[]", '{"1"}'), ([True], "boolean[]", '{"t"}'),
                  ([None, b"\0"], "bytea[]", '{NULL,"\\\\x00"}')]
        sql = "select $1::text, count(*) from quotes"
        for _ in range(4):
            for value, kind, text in values:
                self.assertEqual(self.fetch("select pg_typeof($1)::text, count(*) from quotes", value),
                                 [(kind, 1)])
                self.assertEqual(self.fetch(sql, value), [(text, 1)])
        for value, _, text in values:
            self.assertEqual(self.kept(self.read, sql, value), [(text, 1)])

    def test_whatever_the_form_of_a_read(self):
        """C12."""
        for sql, tables in READS:
            for table in tables:
                with self.subTest(sql=sql, table=table):
                    before = self.kept(self.read, sql)
                    self.execute(ADD[table])
                    self.assertNotEqual(self.read(sql)[0], before)
        # What a function reads nobody can tell.
        for _ in range(4):
            self.assertEqual(self.read("select counting()")[0], self.read("select count(*) from quotes")[0])
            self.execute(ADD["quotes"])

    def test_whatever_the_form_of_a_write(self):
        """C13."""
        for sql in WRITES:
            with self.subTest(sql):
                self.assert_changes(lambda: self.execute(sql))

    def test_whichever_way_it_is_written(self):
        """C14."""
        insert = "insert into quotes (quote) values ($1)"
        self.stub.Prepare(database_pb2.PrepareRequest(name="add", sql=insert))

        def transact(**step):
            with Conversation(self.stub) as transaction:
                self.assertNotEqual(transaction.step(**step).WhichOneof("result"), "error")
                self.assertEqual(transaction.commit(), "committed")

        many = database_pb2.ExecuteManyRequest
        ways = {
            "Execute, several": lambda: self.execute(
                "insert into quotes (quote) values ('a'); insert into quotes (quote) values ('b')"),
            "Fetch": lambda: self.fetch(insert + " returning serial_id", "c"),
            "prepared": lambda: self.stub.Execute(database_pb2.ExecuteRequest(
                query=transaction_pb2.Query(prepared="add", parameters=[Value(text="d")]))),
            "ExecuteMany": lambda: self.stub.ExecuteMany(iter(
                [many(sql=insert, rows=[row("e")]), many(rows=[row("f")])])),
            "ExecuteInTransaction": lambda: self.stub.ExecuteInTransaction(
                database_pb2.ExecuteInTransactionRequest(queries=[query(insert, "g")] * 2)),
            "ExecuteScript": lambda: list(self.stub.ExecuteScript(database_pb2.ExecuteScriptRequest(
                script="insert into quotes (quote) values ('h'); select 1"))),
            "ExecuteScript, one by one": lambda: list(self.stub.ExecuteScript(
                database_pb2.ExecuteScriptRequest(
                    script="insert into quotes (quote) values ('i'); select 1", one_by_one=True))),
            "CopyIn": lambda: self.stub.CopyIn(iter([database_pb2.CopyInRequest(
                table="quotes", columns=["quote"], rows=[row("j")])])),
            "CopyIn of data": lambda: self.stub.CopyIn(iter([database_pb2.CopyInRequest(
                table="quotes", columns=["quote"], data=b"k\nl\n")])),
            "a statement in a transaction": lambda: transact(execute=query(insert, "m")),
            "many in a transaction": lambda: transact(execute_many=transaction_pb2.ExecuteManyStep(
                sql=insert, rows=[row("n")])),
            "a copy in a transaction": lambda: transact(copy=transaction_pb2.CopyStep(
                table="quotes", columns=["quote"], rows=[row("o")])),
            "an operation": lambda: self.quotes.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="ppp")),
        }
        for name, write in ways.items():
            with self.subTest(name):
                self.assert_changes(write)

    def test_who_does_not_wait_for_the_cache_is_heeded_all_the_same(self):
        sql = "select quote from quotes"
        for text in ("One.", "Two.", "Three."):
            self.kept(self.read, sql)
            self.stub.Execute(database_pb2.ExecuteRequest(
                query=query("update quotes set quote = $1", text), invalidate_cache=False))
            self.assertEqual(self.read(sql, freshness="strict")[0], [(text,)])
            self.assertEqual(self.read(sql)[0], [(text,)])

    def test_views_that_are_computed_anew(self):
        """C14."""
        self.psql(SAVED.format(guild=GUILD, channel=CHANNEL, message=MESSAGE, user=USER))
        admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        for name in "OPTIMIZATION_SET_BASE", "OPTIMIZATION_SET_ADDITIONAL":
            list(admin.ApplyOptimizations(upkeep_pb2.ApplyOptimizationsRequest(set=name)))
        sql = "select sum(message_count) from user_channel_activity"
        for _ in range(2):
            self.execute("insert into messages (message_id, created_at, server_name, server_id, channel_id, "
                         "user_id, jump_url, is_bot) select 1 + max(message_id), now(), '', $1, $2, $3, '', "
                         "false from messages", GUILD, CHANNEL, USER)
            before = [self.fetch(sql) for _ in range(2)]
            list(admin.RefreshMaterializedViews(upkeep_pb2.RefreshMaterializedViewsRequest()))
            self.assertNotIn(self.fetch(sql), before)

    def test_databases_have_nothing_of_each_other(self):
        """C19."""
        other = self.enterContext(program.Server("--pool_max=12"))
        channel = self.enterContext(grpc.insecure_channel(other.grpc))
        quotes = quotes_pb2_grpc.QuotesServiceStub(channel)
        program.query(other.dsn, "insert into quotes (quote) values ('Elsewhere.')")
        self.kept(self.list)
        sql = "select quote from quotes"
        self.kept(self.read, sql)
        request = quotes_pb2.ListQuotesRequest(page_size=1000)
        raw = database_pb2_grpc.DatabaseServiceStub(channel)
        for _ in range(4):
            self.assertEqual((self.list()[0], self.read(sql)[0]), (["Zero."], [("Zero.",)]))
            self.assertEqual([quote.quote for quote in quotes.ListQuotes(request).quotes],
                             ["Elsewhere."])
            self.assertEqual(rows(raw.Fetch(database_pb2.FetchRequest(query=query(sql))).table),
                             [("Elsewhere.",)])

    def test_who_has_read_past_the_cache_is_not_told_less_afterwards(self):
        """C20."""
        for text in ("One.", "Two.", "Three."):
            self.kept(self.list)
            self.psql(f"update quotes set quote = '{text}'")
            found, trailers = self.list("bypass")
            self.assertEqual((found, trailers["x-cache"]), ([text], "bypass"))
            self.assertEqual(self.list("session=" + trailers["x-freshness-token"])[0], [text])
            self.assertEqual(self.list("strict")[0], [text])
            self.assertEqual(self.list()[0], [text])

            sql = "select quote from quotes"
            self.kept(self.read, sql)
            self.psql("update quotes set quote = quote || '!'")
            found, trailers = self.read(sql, freshness="bypass")
            self.assertEqual((found, trailers["x-cache"]), ([(text + "!",)], "bypass"))
            token = trailers["x-freshness-token"]
            self.assertEqual(self.read(sql, freshness="session=" + token)[0], found)


if __name__ == "__main__":
    unittest.main()
