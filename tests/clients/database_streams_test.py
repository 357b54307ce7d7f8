"""DatabaseService: its streams, by Python's grpcio."""

import queue
import random
import time
import unittest

import grpc
from google.protobuf import duration_pb2
from raw import Code, Database, query, row, rows
from twi.data.v1 import database_pb2, quotes_pb2, quotes_pb2_grpc

import server as program


class Many(Database):

    def many(self, *messages):
        return self.stub.ExecuteMany(iter(messages), timeout=60)

    def test_all_rows_or_none(self):
        request = database_pb2.ExecuteManyRequest
        sql = "insert into t values ($1, $2) on conflict do nothing"
        done = self.many(request(sql=sql, rows=[row(n, f"v{n}") for n in range(1000)]),
                         request(rows=[row(n, "again") for n in range(500, 1500)]), request())
        self.assertEqual((done.row_count, done.affected_rows), (2000, 1500))
        self.assertEqual(self.psql("select count(*), count(*) filter (where v = 'again') from t"),
                         "1500|500")
        for bad, expected in ((row(7000, "x" * 200), Code.FAILED_PRECONDITION),
                              (row("x", "y"), Code.INVALID_ARGUMENT),
                              (row(1, "\0"), Code.INVALID_ARGUMENT),
                              (row(1), Code.INVALID_ARGUMENT)):
            code, _, said = self.failure(
                self.many, request(sql=sql, rows=[row(n + 5000, "-") for n in range(20)]),
                request(rows=[row(n + 6000, "-") for n in range(5)] + [bad, row(9000, "-")]))
            self.assertEqual((code, said["row"]), (expected, "26"))
        self.assertEqual(self.psql("select count(*) from t"), "1500")

    def test_what_is_no_such_stream(self):
        request = database_pb2.ExecuteManyRequest
        for messages in ([], [request()], [request(sql="insert into t values (1)"),
                                           request(sql="insert into t values (1)")]):
            with self.assertRaises(grpc.RpcError):
                self.many(*messages)
        self.assertEqual(self.psql("select count(*) from t"), "0")


class Streams(Database):

    def pages(self, sql, *parameters, **fields):
        return self.stub.StreamFetch(database_pb2.StreamFetchRequest(
            query=query(sql, *parameters), **fields), timeout=60)

    def test_pages(self):
        self.execute("insert into t select g, 'v' from generate_series(1, 2500) g")
        pages = list(self.pages("select id, v from t where id > $1 order by id; -- all", 0,
                                page_size=1000))
        self.assertEqual([len(page.table.rows) for page in pages], [1000, 1000, 500])
        self.assertEqual([len(page.table.columns) for page in pages], [2, 0, 0])
        self.assertEqual([value for page in pages for value, _ in rows(page.table)],
                         list(range(1, 2501)))
        # A whole number of pages, and none.
        self.assertEqual([len(page.table.rows) for page in self.pages("select 1", page_size=1)][:1],
                         [1])
        empty = list(self.pages("select id from t limit 0"))
        self.assertEqual([len(page.table.columns) for page in empty], [1])

    def test_what_is_large_comes_in_small_pages(self):
        sizes = [page.ByteSize() for page in self.pages(
            "select repeat('x', 100000) from generate_series(1, 100)")]
        self.assertGreater(len(sizes), 5)
        self.assertLess(max(sizes), 1_300_000)

    def test_all_of_one_moment_while_others_write(self):
        self.execute("insert into t select g, 'v' from generate_series(1, 20000) g")
        pages = iter(self.pages("select id from t order by id", page_size=100))
        seen = [value for (value,) in rows(next(pages).table)]
        self.execute("delete from t where id % 2 = 0")
        self.execute("insert into t select g + 100000, 'v' from generate_series(1, 1000) g")
        for page in pages:
            seen += [value for (value,) in rows(page.table)]
        self.assertEqual(seen, list(range(1, 20001)))

    def test_who_stops_reading_early_stops_it(self):
        pages = self.pages("select g from generate_series(1, 100000000) g", page_size=10)
        next(pages)
        pages.cancel()
        self.assertTrue(program.eventually(lambda: self.psql(
            "select count(*) from pg_stat_activity where state <> 'idle' and "
            "application_name = 'twi-data' and query ~ 'twi_data_row[s]'") == "0"))

    def test_only_selects_are_paged(self):
        for sql in ("insert into t values (1) returning id", "delete from t", "show timezone",
                    "select 1 into u"):
            code, reason, _ = self.failure(list, self.pages(sql))
            self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "SQL_INVALID"), sql)
        for size in (-1,):
            code, reason, _ = self.failure(list, self.pages("select 1", page_size=size))
            self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "FIELD_INVALID"))

    def script(self, text, **fields):
        return self.stub.ExecuteScript(database_pb2.ExecuteScriptRequest(script=text, **fields),
                                       timeout=60)

    def test_a_script(self):
        text = ("-- makes it\ncreate table made (id int);\n\n/* two */ insert into made\n"
                "values (1), (2);\ncreate function one() returns int language sql as $$ select 1; $$;"
                "\ndrop function one()")
        told = list(self.script(text))
        self.assertEqual([(each.statement, each.line, each.outcome.command_tag) for each in told],
                         [(1, 2, "CREATE TABLE"), (2, 4, "INSERT 0 2"), (3, 6, "CREATE FUNCTION"),
                          (4, 7, "DROP FUNCTION")])
        self.assertEqual({each.statement_count for each in told}, {4})

        bad = "insert into made values (3);\ninsert into made values (4);\n\nselec 5"
        code, reason, _ = self.failure(list, self.script(bad))
        self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "SQL_INVALID"))
        bad = bad.replace("selec 5", "select from where")
        code, reason, said = self.failure(list, self.script(bad))
        self.assertEqual((code, said["line"], said["statement"]), (Code.INVALID_ARGUMENT, "4", "3"))
        bad = bad.replace("select from where", "select 1 / 0")
        for one_by_one, left in ((False, "2"), (True, "4")):
            code, _, said = self.failure(list, self.script(bad, one_by_one=one_by_one))
            self.assertEqual((said["line"], said["statement"]), ("4", "3"))
            self.assertEqual(self.psql("select count(*) from made"), left)
        tags = [each.outcome.command_tag for each in self.script(
            "vacuum made; create index concurrently on made (id); drop table made",
            one_by_one=True)]
        self.assertEqual(tags, ["VACUUM", "CREATE INDEX", "DROP TABLE"])

    def test_a_script_is_one_message(self):
        insert, most = "insert into t values (1);\n", 4 << 20
        # With the field's tag and length it is as much as a message may be, and then one byte more.
        for more, left in ((0, "1"), (1, "0")):
            self.psql("truncate t")
            script = insert + "-" * (most - 5 - len(insert) + more)
            self.assertEqual(database_pb2.ExecuteScriptRequest(script=script).ByteSize(), most + more)
            if more == 0:
                self.assertEqual([each.outcome.command_tag for each in self.script(script)], ["INSERT 0 1"])
            else:
                code, reason, _ = self.failure(list, self.script(script))
                self.assertEqual((code, reason), (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"))
            self.assertEqual(self.psql("select count(*) from t"), left)


class Copies(Database):

    def copy_in(self, *messages):
        return self.stub.CopyIn(iter(database_pb2.CopyInRequest(**message) for message in messages),
                                timeout=60).row_count

    def copy_out(self, **fields):
        return b"".join(answer.data for answer in self.stub.CopyOut(
            database_pb2.CopyOutRequest(**fields), timeout=60))

    def test_rows(self):
        count = self.copy_in({"table": "t", "columns": ["v", "id"], "rows": [row("a\tb\\\n", 1)]},
                             {"rows": [row(f"v{n}", n) for n in range(2, 2000)]}, {})
        self.assertEqual(count, 1999)
        self.assertEqual(self.fetch("select count(*), min(v), max(id) from t"),
                         [(1999, "a\tb\\\n", 1999)])
        self.assertEqual(self.fetch("select id from t where v = 'a\tb\\\n'"), [(1,)])

    def test_data_in_every_form_there_and_back(self):
        self.execute("insert into t select g, case when g % 2 = 0 then 'a,\"b\"' else E'c\\td' end "
                     "from generate_series(1, 5000) g; drop table if exists u; "
                     "create table u (id bigint, v text)")
        for form in ("COPY_FORMAT_TEXT", "COPY_FORMAT_CSV", "COPY_FORMAT_BINARY"):
            data = self.copy_out(table="t", columns=["id", "v"], format=form)
            self.assertEqual(data, self.copy_out(query="select id, v from t; -- all", format=form))
            self.psql("truncate u")
            pieces = [data[n:n + 7777] for n in range(0, len(data), 7777)]
            count = self.copy_in({"table": "public.u", "format": form},
                                 *({"data": piece} for piece in pieces))
            self.assertEqual(count, 5000)
            self.assertEqual(self.psql("select count(*) from t natural join u"), "5000")
        self.assertEqual(self.copy_out(query="select 1 where false"), b"")

    def test_all_or_nothing_and_which_row(self):
        good = [row(n, "v") for n in range(1, 101)]
        for bad, expected, fact in (
                (row("x", "v"), Code.INVALID_ARGUMENT, {"row": "151", "column": "id"}),
                (row(5, "v"), Code.ALREADY_EXISTS, {"row": "151", "constraint": "t_pkey"}),
                (row(1000, "v" * 200), Code.FAILED_PRECONDITION, {"row": "151", "constraint": "short"}),
                (row(1000), Code.INVALID_ARGUMENT, {"row": "151"}),
                (row(1000, "a\0"), Code.INVALID_ARGUMENT, {"row": "151"})):
            with self.subTest(expected):
                code, _, said = self.failure(
                    self.copy_in, {"table": "t", "rows": good},
                    {"rows": [row(n, "v") for n in range(101, 151)] + [bad]})
                self.assertEqual(code, expected)
                self.assertLessEqual(fact.items(), dict(said).items())
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_what_is_no_copy(self):
        for messages in ([], [{}], [{"table": "nowhere", "rows": [row(1)]}],
                         [{"table": "t", "columns": ["nothing"]}], [{"table": "t"}, {"table": "t"}],
                         [{"table": "t from '/etc/passwd' --"}], [{"table": "t from stdin; drop table t --"}],
                         [{"table": "t", "format": "COPY_FORMAT_CSV", "rows": [row(1, "v")]}]):
            with self.assertRaises(grpc.RpcError, msg=messages) as context:
                self.copy_in(*messages)
            self.assertIn(context.exception.code(), (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED), messages)
        for fields in ({}, {"table": "nowhere"}, {"query": "selec"}, {"query": "select 1; select 2"},
                       {"table": "t to '/tmp/x' --"}, {"table": "t", "columns": ["nothing"]}):
            code, *_ = self.failure(self.copy_out, **fields)
            self.assertEqual(code, Code.INVALID_ARGUMENT, fields)
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_who_goes_is_not_taken_for_one_who_has_sent_all(self):
        for n in range(100):
            messages = queue.Queue()
            call = self.stub.CopyIn.future(iter(messages.get, None), timeout=60)
            messages.put(database_pb2.CopyInRequest(table="t", rows=[row(n, "v")]))
            time.sleep(random.uniform(0, 0.02))
            call.cancel()
            messages.put(None)
        self.assertTrue(program.eventually(lambda: self.psql(
            "select count(*) from pg_stat_activity where query ~ '^copy t ' and state = 'active'") == "0"))
        self.assertEqual(self.psql("select count(*) from t"), "0")

    def test_who_goes_midway_has_done_nothing(self):
        messages = queue.Queue()
        call = self.stub.CopyIn.future(iter(messages.get, None), timeout=60)
        messages.put(database_pb2.CopyInRequest(table="t", rows=[row(1, "v")]))
        copies = lambda: self.psql("select count(*) from pg_stat_activity where query ~ '^copy t '"
                                   " and state = 'active'")
        self.assertTrue(program.eventually(lambda: copies() == "1"))
        call.cancel()
        messages.put(None)
        self.assertTrue(program.eventually(lambda: copies() == "0"))
        self.assertEqual(self.psql("select count(*) from t"), "0")
        answers = self.stub.CopyOut(database_pb2.CopyOutRequest(
            query="select repeat('x', 1000) from generate_series(1, 10000000)"))
        next(answers)
        answers.cancel()
        self.assertTrue(program.eventually(lambda: self.psql(
            "select count(*) from pg_stat_activity where query ~ '^copy .selec[t]' and "
            "state = 'active'") == "0"))

    def test_what_is_copied_is_found(self):
        quotes = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        count = quotes_pb2.CountQuotesRequest()
        before = quotes.CountQuotes(count).count
        self.copy_in({"table": "quotes", "columns": ["quote"], "rows": [row("Copied.")] * 3})
        self.assertEqual(quotes.CountQuotes(count).count, before + 3)


class Limits(Database):
    """A timeout is of the whole call, whatever the client does."""

    def busy(self):
        """How many sessions of others are in a transaction or a statement."""
        return int(self.psql("select count(*) from pg_stat_activity where pid <> pg_backend_pid()"
                             " and state ~ 'active|in transaction' and query ~ 'spoken|fetch|copy'"))

    def test_what_a_client_does_not_send_is_not_waited_for(self):
        self.psql("create table spoken (word text)")
        for method, first in (
                (self.stub.CopyIn, database_pb2.CopyInRequest(
                    table="spoken", rows=[row("one")], timeout=duration_pb2.Duration(nanos=300_000_000))),
                (self.stub.ExecuteMany, database_pb2.ExecuteManyRequest(
                    sql="insert into spoken values ($1)", rows=[row("two")], options=database_pb2.RunOptions(
                        timeout=duration_pb2.Duration(nanos=300_000_000))))):
            messages = queue.Queue()
            messages.put(first)
            code, reason, _ = self.failure(method, iter(messages.get, None), timeout=60)
            messages.put(None)
            self.assertEqual((code, reason), (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"))
            self.assertTrue(program.eventually(lambda: self.busy() == 0))
        self.assertEqual(self.psql("select count(*) from spoken"), "0")

    def test_what_a_client_does_not_read_is_not_kept_for_it(self):
        pages = self.stub.StreamFetch(database_pb2.StreamFetchRequest(
            query=query("select repeat('spoken', 200) from generate_series(1, 1000000)"),
            timeout=duration_pb2.Duration(seconds=1)), timeout=60)
        next(pages)
        self.assertTrue(program.eventually(lambda: self.busy() == 0, 20))
        with self.assertRaises(grpc.RpcError) as context:
            list(pages)
        self.assertIn(context.exception.code(), (Code.DEADLINE_EXCEEDED, Code.CANCELLED))


if __name__ == "__main__":
    unittest.main()
