"""The service outlives its database, and says truly what became of the calls meanwhile."""

import os
import random
import time
import unittest

import grpc
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import cluster
import load
import server as program

ROUNDS = int(os.environ.get("TWI_TEST_ROUNDS", 3))
# A second is promised; the machine may be busy with more than this test.
RETURN = 5
MAX_CONNECTIONS = 60


class Chaos(unittest.TestCase):
    """A cluster, a server on it and a channel for each test."""

    def setUp(self):
        # The service's role is refused while no more than 30 are left: so when its own are gone,
        # they stay gone.
        self.cluster = self.enterContext(cluster.Cluster(
            "fsync = on", "recovery_init_sync_method = syncfs",
            f"max_connections = {MAX_CONNECTIONS}", "superuser_reserved_connections = 30"))
        self.server = self.enterContext(
            program.Server(f"--dsn={self.cluster.dsn}", "--migrate"))
        self.channel = self.enterContext(grpc.insecure_channel(self.server.grpc))

    def broken(self):
        return program.metric(self.server, "twi_data_db_pool_connections_closed_total",
                              reason="broken")

    def assert_honest(self, answer):
        """An error is one that the loss of the database explains."""
        if answer.code == grpc.StatusCode.UNKNOWN:
            self.assertIn(answer.method, load.WRITES, answer)
            self.assertEqual(answer.reason, "OUTCOME_UNKNOWN", answer)
        else:
            self.assertEqual((answer.code, answer.reason),
                             (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"), answer)
            self.assertTrue(answer.retry_info, answer)

    def survive(self, interrupt):
        """Interrupts the database under load, again and again; `interrupt` returns when it accepts
        connections again."""
        process, broken = self.server.process.pid, self.broken()
        outages = []
        with load.Load(self.channel) as callers:
            for _ in range(ROUNDS):
                begin = time.monotonic()
                self.assertTrue(program.eventually(lambda: callers.served(begin)))
                time.sleep(0.5)
                begin = time.monotonic()
                interrupt()
                accepting = time.monotonic()
                self.assertTrue(program.eventually(lambda: callers.served(accepting), RETURN))
                outages.append((begin, accepting, callers.served(accepting)))
            time.sleep(0.5)

        errors = [answer for answer in callers.answers() if not answer.ok]
        for error in errors:
            self.assert_honest(error)
            self.assertTrue(any(begin <= error.end and error.begin <= served
                                for begin, _, served in outages), f"all was well: {error}")
        there, uncertain = callers.check_rows(self, self.cluster.dsn)
        for begin, accepting, served in outages:
            meanwhile = [error.code for error in errors if begin <= error.end <= served]
            print(f"down {accepting - begin:.2f} s: {len(meanwhile)} errors, of them "
                  f"{meanwhile.count(grpc.StatusCode.UNKNOWN)} UNKNOWN; every method answered OK "
                  f"{1e3 * (served - accepting):.0f} ms after it accepted connections")
            # Callers are told at once, and do not wait for it.
            self.assertIn(grpc.StatusCode.UNAVAILABLE, meanwhile)
        print(f"{len(callers.answers())} calls, the longest "
              f"{max(answer.end - answer.begin for answer in callers.answers()):.2f} s; of "
              f"{uncertain} writes with an unknown outcome {there} rows are there\n"
              f"{callers.summary()}", flush=True)

        self.assertEqual((self.server.process.pid, self.server.process.poll()), (process, None))
        self.assertGreaterEqual(self.broken() - broken, ROUNDS)
        self.assertEqual(self.server.end(), 0)

    def test_it_stays_ready_and_gives_what_it_has(self):
        stub = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        stale = [("x-freshness", "stale=60")]
        count = lambda: stub.CountQuotes(quotes_pb2.CountQuotesRequest(), metadata=stale, timeout=30)
        self.assertEqual(count().count, 0)
        self.cluster.kill()
        self.assertTrue(program.eventually(lambda: self.broken()))
        self.assertEqual(program.get(self.server, "/readyz"), (200, "ok\n"))
        self.assertEqual(self.channel.unary_unary("/grpc.health.v1.Health/Check")(b""), b"\x08\x01")
        self.assertEqual(count().count, 0)
        with self.assertRaises(grpc.RpcError) as context:
            stub.ListQuotes(quotes_pb2.ListQuotesRequest(), timeout=30)
        self.assertEqual(context.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.cluster.start()

    def test_killed(self):
        def interrupt():
            self.cluster.kill()
            time.sleep(random.uniform(0.3, 1))
            self.cluster.start()

        self.survive(interrupt)

    def test_a_backend_killed(self):
        def interrupt():
            self.cluster.crash(int(program.query(
                self.cluster.admin,
                "select pid from pg_stat_activity where usename = 'service' limit 1")))

        self.survive(interrupt)

    def test_max_connections_exhausted(self):
        stub = quotes_pb2_grpc.QuotesServiceStub(self.channel)

        def answers():
            """What a read and a write come to."""
            codes = []
            for call, request in (
                    (stub.CountQuotes, quotes_pb2.CountQuotesRequest()),
                    (stub.CreateQuote, quotes_pb2.CreateQuoteRequest(quote="Is there room?"))):
                try:
                    call(request, timeout=10)
                    codes.append("OK")
                except grpc.RpcError as error:
                    codes.append(error.code().name)
                    if error.code() == grpc.StatusCode.UNAVAILABLE:
                        found = load.details(error)
                        self.assertEqual(found["ErrorInfo"].reason, "DATABASE_UNAVAILABLE")
                        self.assertIn("RetryInfo", found)
            return codes

        self.assertEqual(answers(), ["OK", "OK"])
        before = int(program.query(self.cluster.dsn, "select count(*) from quotes"))
        others = []
        self.addCleanup(lambda: [session.close() for session in others])

        def fill(slots):
            """Takes slots; those of sessions that have ended are free a moment later."""
            while len(others) < slots:
                session = program.eventually(self.cluster.session)
                self.assertIsNotNone(session)
                others.append(session)

        fill(MAX_CONNECTIONS - self.connections() - 1)
        # The last slot is psql's.
        program.query(self.cluster.admin, "select pg_terminate_backend(pid, 10000) "
                      "from pg_stat_activity where usename = 'service'")
        fill(MAX_CONNECTIONS)
        self.assertIsNone(self.cluster.session())
        self.assertTrue(program.eventually(
            lambda: program.metric(self.server, "twi_data_db_pool_connections", state="idle") == 0))
        for _ in range(5):
            self.assertEqual(answers(), ["UNAVAILABLE", "UNAVAILABLE"])
            time.sleep(0.2)

        while others:
            others.pop().close()
        self.assertTrue(program.eventually(lambda: answers() == ["OK", "OK"], RETURN))
        # Those that were refused were not done.
        after = int(program.query(self.cluster.dsn, "select count(*) from quotes"))
        created = program.metric(self.server, "grpc_server_handled_total",
                                 grpc_method="CreateQuote", grpc_code="OK")
        self.assertEqual((before, after), (1, created))

    def connections(self):
        return int(program.query(self.cluster.admin, "select count(*) from pg_stat_activity "
                                                     "where usename = 'service'"))


if __name__ == "__main__":
    unittest.main()
