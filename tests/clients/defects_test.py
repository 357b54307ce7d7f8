"""What the layer that this service replaces got wrong, and no other test would show: see docs/defects.md."""

import queue
import unittest

import grpc
from google.protobuf import duration_pb2
from raw import Code, Conversation, Database, query, rows
from twi.data.v1 import (command_history_pb2, command_history_pb2_grpc, database_pb2, messages_pb2,
                         messages_pb2_grpc, poll_writes_pb2, polls_pb2_grpc, quotes_pb2, quotes_pb2_grpc,
                         transaction_pb2)

import server as program


class Connections(Database):

    def test_those_that_never_begin_hold_nothing(self):
        """T3."""
        nothing = queue.Queue()
        streams = [self.stub.Transaction(iter(nothing.get, None), timeout=60) for _ in range(25)]
        for _ in range(25):
            with self.assertRaises(grpc.RpcError) as context:
                list(self.stub.Transaction(iter([transaction_pb2.TransactionRequest(
                    begin=transaction_pb2.Begin(isolation=99))]), timeout=60))
            self.assertEqual(context.exception.code(), Code.INVALID_ARGUMENT)
        for _ in range(25):
            self.assertEqual(self.fetch("select 1"), [(1,)])
        self.assertEqual(Conversation(self.stub).commit(), "committed")
        for stream in streams:
            nothing.put(None)
            stream.cancel()

    def test_what_passes_is_run_again(self):
        """R1."""
        self.psql("drop sequence if exists tries; create sequence tries;"
                  "create or replace function fail_first(times int, state text) returns bigint "
                  "language plpgsql as $$ begin if nextval('tries') <= times then "
                  "raise exception using errcode = state; end if; return 1; end $$")
        delay = duration_pb2.Duration(nanos=1_000_000)
        for state in ("40001", "40P01"):
            self.psql("alter sequence tries restart")
            self.assertEqual(self.fetch("select fail_first(2, $1)", state, retry_delay=delay), [(1,)])
        # The connection of the first attempt ends while it runs, those of others while they are idle.
        self.psql("alter sequence tries restart")
        die = "select case when nextval('tries') = 1 then pg_terminate_backend(pg_backend_pid()) end"
        self.assertEqual(self.fetch(die, retry_delay=delay, idempotent=True), [(None,)])
        self.assertEqual(self.psql("select last_value from tries"), "2")
        for _ in range(3):
            self.psql("select pg_terminate_backend(pid) from pg_stat_activity "
                      "where application_name = 'twi-data'")
            self.assertEqual(self.fetch("select 1", retry_delay=delay, attempts=10), [(1,)])


class Pages(Database):

    def pages(self, sql, **fields):
        return self.stub.StreamFetch(database_pb2.StreamFetchRequest(query=query(sql), **fields),
                                     timeout=60)

    def test_any_text_that_reads(self):
        """P1."""
        self.execute("insert into t select generate_series(1, 25)")
        for sql in ("select id from t order by id;", "select id from t order by id limit 25 -- all",
                    "select id from t order by id limit 20 offset 5 /* ; */",
                    "with l as (select id from t) table l order by id;\n--",
                    "select id from t order by id for update"):
            with self.subTest(sql):
                found = [value for page in self.pages(sql, page_size=10) for (value,) in rows(page.table)]
                self.assertEqual(found, list(range(26 - len(found), 26)))
                self.assertGreaterEqual(len(found), 20)

    def test_a_slow_reader_is_waited_for_and_harms_nobody(self):
        """P2."""
        self.execute("insert into t select generate_series(1, 20000)")
        pages = self.pages("select id, repeat('x', 1000) from t", page_size=100)
        count = len(next(pages).table.rows)
        for _ in range(200):
            self.assertEqual(self.fetch("select 1"), [(1,)])
        self.assertEqual(count + sum(len(page.table.rows) for page in pages), 20000)
        # Whose time is over is told so, and nothing else of his ends.
        other = self.pages("select id from t order by id", page_size=100)
        self.assertEqual(len(next(other).table.rows), 100)
        code, *_ = self.failure(list, self.pages("select generate_series(1, 1000000000)", page_size=100,
                                                 timeout=duration_pb2.Duration(nanos=200_000_000)))
        self.assertEqual(code, Code.DEADLINE_EXCEEDED)
        self.assertEqual(sum(len(page.table.rows) for page in other), 19900)

    def test_sizes_have_a_default_and_an_end(self):
        """P3."""
        sql = "select generate_series(1, 20001)"
        for size, expected in ((0, 1000), (1, 1), (10_000, 10_000), (1_000_000_000, 10_000)):
            pages = self.pages(sql, page_size=size)
            self.assertEqual(len(next(pages).table.rows), expected)
            pages.cancel()
        for size in (-1, -2147483648):
            code, reason, _ = self.failure(list, self.pages(sql, page_size=size))
            self.assertEqual((code, reason), (Code.INVALID_ARGUMENT, "FIELD_INVALID"))

    def test_pages_go_on_after_a_reconnect(self):
        """P4."""
        quotes = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        self.psql("delete from quotes; insert into quotes (quote) select g from generate_series(1, 7) g")
        request = quotes_pb2.ListQuotesRequest(page_size=3)
        found = []
        while True:
            with grpc.insecure_channel(self.server.grpc) as channel:
                answer = quotes_pb2_grpc.QuotesServiceStub(channel).ListQuotes(request)
            found += [quote.quote for quote in answer.quotes]
            if not answer.next_page_token:
                break
            request.page_token = answer.next_page_token
            self.psql("select pg_terminate_backend(pid) from pg_stat_activity "
                      "where application_name = 'twi-data'")
        self.assertEqual(sorted(found), [str(n) for n in range(1, 8)])
        self.assertEqual(quotes.CountQuotes(quotes_pb2.CountQuotesRequest()).count, 7)


class Composites(Database):
    """T7: when the last part of an operation fails, nothing of it is there."""

    def refused(self, table, call, *tables):
        """The call must fail at a row of the table, and leave those as they are."""
        count = "select " + " + ".join(f"(select count(*) from {name})" for name in (table, *tables))
        before = self.psql(count)
        self.psql(f"alter table {table} add constraint never check (false) not valid")
        try:
            code, reason, said = self.failure(call)
            self.assertEqual((code, reason, said["constraint"]),
                             (Code.FAILED_PRECONDITION, "CONSTRAINT_VIOLATED", "never"))
        finally:
            self.psql(f"alter table {table} drop constraint never")
        self.assertEqual(self.psql(count), before)
        call()
        self.assertGreater(int(self.psql(count)), int(before))

    def test_a_message_with_all_its_parts(self):
        stub = messages_pb2_grpc.MessagesServiceStub(self.channel)
        message = {"message_id": 9, "created_at": {}, "server_id": 1, "server_name": "Inn", "channel_id": 2,
                   "user_id": 3, "content": "Hi.", "jump_url": "", "attachments": [{"id": 11}],
                   "embeds": [{"title": "T", "fields": [{"name": "n", "value": "v"}]}],
                   "user_mentions": [7]}
        for table in ("mentions", "embed_fields", "attachments"):
            message["message_id"] += 1
            message["attachments"][0]["id"] += 1
            request = messages_pb2.SaveMessageRequest(message=message, author={"username": "erin"})
            self.refused(table, lambda: stub.SaveMessage(request), "messages", "embeds")
        self.psql("update messages set content = 'Old.'")
        edit = messages_pb2.RecordMessageEditRequest(message_id=10, new_content="New.", edit_timestamp={})
        self.refused("message_edit", lambda: stub.RecordMessageEdit(edit))
        self.assertEqual(self.psql("select content from messages where message_id = 10"), "New.")

    def test_an_edit_that_is_not_recorded_is_not_made(self):
        stub = messages_pb2_grpc.MessagesServiceStub(self.channel)
        stub.SaveMessage(messages_pb2.SaveMessageRequest(message={
            "message_id": 99, "created_at": {}, "server_id": 1, "channel_id": 2, "user_id": 3,
            "content": "Old."}))
        self.psql("alter table message_edit add constraint never check (false) not valid")
        self.failure(stub.RecordMessageEdit, messages_pb2.RecordMessageEditRequest(
            message_id=99, new_content="New.", edit_timestamp={}))
        self.psql("alter table message_edit drop constraint never")
        self.assertEqual(self.psql("select content from messages where message_id = 99"), "Old.")

    def test_an_interaction_with_all_that_it_meets(self):
        stub = command_history_pb2_grpc.CommandHistoryServiceStub(self.channel)
        request = command_history_pb2.RecordInteractionRequest(
            user={"user_id": 30, "username": "erin"}, server={"server_id": 31, "server_name": "Inn"},
            channel={"id": 32, "name": "general"}, start_date={}, command_name="quote")
        self.refused("command_history", lambda: stub.RecordInteraction(request), "users", "servers",
                     "channels")

    def test_a_poll_with_its_options(self):
        stub = polls_pb2_grpc.PollsServiceStub(self.channel)
        request = poll_writes_pb2.CreatePollWithOptionsRequest(
            id=70, title="Who?", start_date={}, options=[{"option_id": 701, "option_text": "Erin"}])
        self.refused("poll_option", lambda: stub.CreatePollWithOptions(request), "poll")


if __name__ == "__main__":
    unittest.main()
