"""How the database's changes are followed is left to what it allows, and no answer is stale however
that is."""

import os
import signal
import unittest

import grpc

import cluster
import server as program
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

ALL = ("stream", "outbox", "none")


class Sources(unittest.TestCase):

    def setUp(self):
        self.database = self.enterContext(
            cluster.Cluster("wal_level = replica", "max_wal_senders = 0"))

    def serve(self, *flags, dsn=None):
        server = self.enterContext(program.Server(
            f"--dsn={dsn or self.database.dsn}", "--cache_entries=100", *flags))
        channel = self.enterContext(grpc.insecure_channel(server.grpc))
        return server, quotes_pb2_grpc.QuotesServiceStub(channel)

    def await_source(self, server, source):
        expected = {each: float(each == source) for each in ALL}
        found = {}

        def as_expected():
            found.update({each: program.metric(server, "twi_data_cache_source", source=each)
                          for each in ALL})
            return found == expected

        self.assertTrue(program.eventually(as_expected, 60), (found, server.log()))

    def hit(self, quotes, number):
        """Reads until the answer is a kept one."""
        def is_hit():
            _, call = quotes.GetQuote.with_call(quotes_pb2.GetQuoteRequest(serial_id=number))
            return dict(call.trailing_metadata())["x-cache"] == "hit"
        self.assertTrue(program.eventually(is_hit, 60))

    def assert_followed(self, quotes):
        """What is kept of a quote is not what is served after another program has changed it."""
        number = int(program.query(self.database.dsn, "insert into quotes (quote, author) values "
                                   "('0', 'Erin') returning serial_id").split()[0])
        for text in "abc":
            self.hit(quotes, number)
            program.query(self.database.dsn,
                          f"update quotes set quote = '{text}' where serial_id = {number}")
            answer = quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=number),
                                     metadata=[("x-freshness", "strict")])
            self.assertEqual(answer.quote.quote, text)
        return number

    def lines(self, server, text):
        return [line for line in server.log().splitlines() if text in line]

    def test_the_outbox_where_there_are_no_slots_and_the_stream_once_there_are(self):
        server, quotes = self.serve("--migrate")
        self.await_source(server, "outbox")
        told = self.lines(server, "changes are followed")
        self.assertEqual(len(told), 1, told)
        self.assertIn("wal_level is not `logical`", told[0])
        number = self.assert_followed(quotes)
        # What it is made of is no difference of the schema.
        checked = program.run("migrate", "check", f"--dsn={self.database.dsn}")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        # A second server shares it, and changes nothing of the schema.
        other, others = self.serve()
        self.await_source(other, "outbox")
        self.hit(others, number)

        # It is emptied when any of the database's processes crashes. What was written before is lost
        # with it.
        self.hit(quotes, number)
        victim = int(program.query(self.database.admin,
                                   "select pid from pg_stat_activity where state = 'idle' limit 1"))
        started = program.query(self.database.admin, "select pg_postmaster_start_time()")
        os.kill(server.process.pid, signal.SIGSTOP)
        program.query(self.database.dsn,
                      f"update quotes set quote = 'lost' where serial_id = {number}")
        self.database.crash(victim)
        os.kill(server.process.pid, signal.SIGCONT)
        self.assertEqual(started,
                         program.query(self.database.admin, "select pg_postmaster_start_time()"))
        answers = set()

        def answered():
            try:
                answers.add(quotes.GetQuote(
                    quotes_pb2.GetQuoteRequest(serial_id=number)).quote.quote)
            except grpc.RpcError:
                return False
            return True

        self.assertTrue(program.eventually(answered, 60))
        self.assertEqual(answers, {"lost"})
        self.await_source(server, "outbox")
        self.assert_followed(quotes)

        # With the first connection that is new after it has become possible.
        program.query(self.database.admin, "alter role service replication")
        program.query(self.database.admin, "alter system set wal_level = logical")
        program.query(self.database.admin, "alter system set max_wal_senders = 10")
        self.database.kill()
        self.database.start()
        for each, its in (server, quotes), (other, others):
            self.await_source(each, "stream")
            self.assert_followed(its)
        self.assertEqual(len(self.lines(server, "changes are followed")), 2, server.log())

    def test_nothing_but_stale_answers_where_neither_is_to_be_had(self):
        migrate = "migrate", "up", f"--dsn={self.database.dsn}"
        self.assertEqual(program.run(*migrate).returncode, 0)
        program.query(self.database.dsn, "drop schema twi_data cascade")
        server, quotes = self.serve()
        self.await_source(server, "none")
        lines = self.lines(server, "nothing is cached")
        self.assertEqual(len(lines), 1, server.log())
        self.assertIn("wal_level", lines[0])
        self.assertIn("outbox: there is none", lines[0])
        number = int(program.query(self.database.dsn, "insert into quotes (quote, author) values "
                                   "('0', 'Erin') returning serial_id").split()[0])
        request = quotes_pb2.GetQuoteRequest(serial_id=number)
        for freshness, expected in (("bounded", "bypass"), ("stale=60", "miss"), ("stale=60", "hit"),
                                    ("strict", "bypass")):
            _, call = quotes.GetQuote.with_call(request, metadata=[("x-freshness", freshness)])
            self.assertEqual(dict(call.trailing_metadata())["x-cache"], expected, freshness)
        # Who may makes the outbox, and it is found.
        self.assertEqual(program.run(*migrate).returncode, 0)
        self.await_source(server, "outbox")
        self.assert_followed(quotes)


if __name__ == "__main__":
    unittest.main()
