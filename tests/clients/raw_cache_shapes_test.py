"""Answers to callers' own reads are kept whatever the text looks like, and end with every write, whatever
that looks like: what the cache of the old layer got wrong."""

import unittest

import grpc

from raw import Database, query, rows
from twi.data.v1 import database_pb2

import server as program

# Of two tables, `links` and `quotes`, and how many rows they have.
READS = [
    "\n  select count(*) from links, quotes",
    "select count(*)\nfrom links\ncross join quotes",
    "with l as (select 1 from links), q as (select 1 from quotes) select count(*) from l, q",
    "select count(*) from links l, quotes as q",
    "select count(*) from public.links, public.quotes",
    'select count(*) from "links", "public"."quotes"',
    "SELECT COUNT ( * ) FROM LINKS , QUOTES",
    "select (select count(*) from links) * (select count(*) from quotes)",
    "select count(*) from links where exists (select from quotes) union all select count(*) from quotes",
    "select count(*) from (select 1 from links left join quotes on true) both_of_them",
    "select count(*), (select max(serial_id) from quotes) from links group by () order by 1 limit 1",
    "/* from nothing */ select count(*) from links -- from links\n, quotes",
    "select count(*) from links inner join lateral (select 1 from quotes) q on true",
    "select coalesce((select max(serial_id)::text from quotes), '') || (select count(*) from links)",
]
# Each makes the number of rows of `quotes` another.
WRITES = [
    "insert into quotes(quote, author) values ('a', 'b')",
    "\n\tinsert\n\tinto\n\tquotes (quote) values ('a')",
    "insert into public.quotes (quote) values ('a'), ('b')",
    'INSERT INTO "quotes" (quote) SELECT quote FROM quotes LIMIT 1',
    "with added as (insert into quotes (quote) values ('a') returning 1) select count(*) from added",
    "merge into quotes q using (values ('new')) n (quote) on q.quote = n.quote"
    " when not matched then insert (quote) values (n.quote)",
    "delete from only quotes where serial_id = (select max(serial_id) from quotes)",
    "delete from quotes using links where serial_id = (select max(serial_id) from quotes)",
    "do $$ begin insert into quotes (quote) values ('a'); end $$",
    "select 1; insert into quotes (quote) values ('a'); select 2",
    "select added_by_a_function()",
    "truncate quotes",
]


class Shapes(Database):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        program.query(cls.server.dsn, "create function added_by_a_function() returns void language sql as"
                                      " $$ insert into quotes (quote) values ('a') $$")

    def setUp(self):
        self.psql("truncate quotes, links; insert into quotes (quote) select 'Q' from generate_series(1, 5);"
                  "insert into links (title, content) select 'L' || n, '-' from generate_series(1, 3) n")

    def ask(self, method, request):
        answer, call = getattr(self.stub, method).with_call(request, timeout=60)
        return answer, dict(call.trailing_metadata()).get("x-cache")

    def read(self, sql, *parameters, **options):
        answer, how = self.ask("Fetch", database_pb2.FetchRequest(query=query(sql, *parameters), **options))
        return rows(answer.table), how

    def kept(self, sql, *parameters):
        self.assertTrue(program.eventually(lambda: self.read(sql, *parameters)[1] == "hit", 30), sql)
        return self.read(sql, *parameters)[0]

    def test_reads_of_every_shape_end_with_a_write_to_each_of_their_tables(self):
        for sql in READS:
            with self.subTest(sql=sql):
                before = self.kept(sql)
                self.execute("insert into links (title, content) values ('L' || random(), '-')")
                between = self.read(sql)[0]
                self.assertNotEqual(between, before)
                self.kept(sql)
                self.execute("insert into quotes (quote) values ('A')")
                self.assertNotEqual(self.read(sql)[0], between)

    def test_writes_of_every_shape_end_a_read(self):
        sql = "select count(*) from quotes"
        for write in WRITES:
            with self.subTest(write=write):
                before = self.kept(sql)
                self.execute(write)
                after = self.read(sql)[0]
                self.assertNotEqual(after, before)
                self.assertEqual(str(after[0][0]), self.psql(sql))

    def test_a_view_that_is_refreshed(self):
        sql = "select count(*) from seen_quotes"
        self.psql("create materialized view seen_quotes as select quote from quotes")
        for _ in range(4):
            self.read(sql)
        self.execute("insert into quotes (quote) values ('A')")
        self.assertEqual(self.read(sql)[0], [(5,)])
        self.psql("refresh materialized view seen_quotes")
        self.assertEqual(self.read(sql)[0], [(6,)])

    def test_values_that_are_equal_in_python_are_others(self):
        sql = "select $1::text || '.' as said"
        said = {"1": 1, "t": True, "1.0": "1.0"}
        for text, value in said.items():
            self.assertEqual(self.kept(sql, value), [(f"{text}.",)])
        for text, value in said.items():
            self.assertEqual(self.read(sql, value), ([(f"{text}.",)], "hit"))

    def test_values_of_any_kind_are_part_of_a_question(self):
        sql = "select encode($1::bytea, 'hex'), $2::text[]"
        self.assertEqual(self.kept(sql, b"\x00\xff", ["b", "a", None]), [("00ff", ["b", "a", None])])
        self.assertEqual(self.read(sql, b"\x00\xff", ["a", "b", None])[0], [("00ff", ["a", "b", None])])

    def test_two_databases_have_nothing_of_each_other(self):
        sql = "select count(*) from quotes"
        self.kept(sql)
        with program.Server() as other, grpc.insecure_channel(other.grpc) as channel:
            stub = type(self.stub)(channel)
            answer = stub.Fetch(database_pb2.FetchRequest(query=query(sql)))
            self.assertEqual(rows(answer.table), [(0,)])

    def test_nobody_sees_older_things_than_he_has_seen_past_the_cache(self):
        sql = "select count(*) from quotes"
        for turn in range(20):
            self.kept(sql)
            self.psql("insert into quotes (quote) values ('A')")
            seen = self.read(sql, use_cache=False)[0]
            self.assertEqual(seen, [(6 + turn,)])
            self.assertEqual(self.read(sql)[0], seen)


if __name__ == "__main__":
    unittest.main()
