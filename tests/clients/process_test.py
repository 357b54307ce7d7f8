"""The life of the process: ready, drained, killed, started again."""

import concurrent.futures
import os
import signal
import unittest

import grpc
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import server as program

COUNT = quotes_pb2.CountQuotesRequest()


class Process(unittest.TestCase):

    def start(self, *flags, **options):
        """A server for the test, and a stub for it."""
        server = self.enterContext(program.Server(*flags, **options))
        return server, self.stub(server)

    def stub(self, server):
        return quotes_pb2_grpc.QuotesServiceStub(
            self.enterContext(grpc.insecure_channel(server.grpc)))

    def health(self, server):
        """The number of the status that grpc.health.v1.Health/Check answers."""
        channel = self.enterContext(grpc.insecure_channel(server.grpc))
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
        # HealthCheckResponse { status = 1 }
        return answer[1] if answer else 0

    def test_drain(self):
        server, stub = self.start("--drain_notice=3s")
        self.assertEqual((program.get(server, "/readyz")[0], self.health(server)), (200, 1))
        server.process.send_signal(signal.SIGTERM)
        self.assertTrue(program.eventually(lambda: program.get(server, "/readyz")[0] == 503))
        # Nobody is sent here any more; who comes is served, and the process is not to be killed.
        self.assertEqual(self.health(server), 2)
        self.assertEqual(program.get(server, "/livez")[0], 200)
        self.assertEqual(stub.CountQuotes(COUNT).count, 0)
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.postgres(), [])
        with self.assertRaises(grpc.RpcError) as context:
            stub.CountQuotes(COUNT, timeout=5)
        self.assertEqual(context.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_clients_connect_anew_and_lose_no_call(self):
        server = self.enterContext(program.Server("--max_connection_age=500ms"))
        channel = self.enterContext(grpc.insecure_channel(server.grpc))
        states = []
        channel.subscribe(states.append)
        stub = quotes_pb2_grpc.QuotesServiceStub(channel)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        self.assertEqual(next(watch)[1], 1)

        def connected_anew():
            self.assertEqual(stub.CountQuotes(COUNT).count, 0)
            return states.count(grpc.ChannelConnectivity.READY) > 3
        self.assertTrue(program.eventually(connected_anew, 30), states)
        # What began at the first connection goes on.
        self.assertTrue(watch.is_active())
        watch.cancel()

    def test_a_call_under_way_is_finished(self):
        server, stub = self.start()
        made = stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="The last one."))
        delete = quotes_pb2.DeleteQuoteRequest(serial_id=made.quote.serial_id)
        with program.transaction(server.dsn, "lock table quotes in share mode"):
            call = stub.DeleteQuote.future(delete, timeout=30)
            self.assertTrue(program.eventually(lambda: program.query(
                server.dsn, "select 1 from pg_locks where not granted")))
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(program.eventually(lambda: self.refuses_connections(server)))
        call.result(30)
        self.assertEqual(server.wait(), 0)

    def refuses_connections(self, server):
        with grpc.insecure_channel(server.grpc) as channel:
            try:
                channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
            except grpc.RpcError as error:
                return error.code() == grpc.StatusCode.UNAVAILABLE
        return False

    def test_data_survives_sigkill(self):
        server, stub = self.start()
        quotes = [stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote=f"Kept {n}")).quote
                  for n in range(10)]
        self.assertNotEqual(server.postgres(), [])
        self.assertEqual(server.kill(), -signal.SIGKILL)
        self.assertTrue(program.eventually(lambda: not server.postgres()))

        server.start()
        kept = self.stub(server).ListQuotes(quotes_pb2.ListQuotesRequest()).quotes
        self.assertEqual(list(kept), quotes)
        self.assertEqual(server.end(), 0)

    def test_started_again_at_once(self):
        # A supervisor does not wait for the old database to be gone.
        server, stub = self.start()
        stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="Kept as well."))
        for _ in range(3):
            server.kill()
            server.start()
        self.assertEqual(self.stub(server).CountQuotes(COUNT).count, 1)

    def test_killed_while_it_writes(self):
        server, stub = self.start()
        acknowledged = []

        def write():
            try:
                while True:
                    request = quotes_pb2.CreateQuoteRequest(quote="One of many.")
                    acknowledged.append(stub.CreateQuote(request, timeout=10).quote)
            except grpc.RpcError:
                return

        with concurrent.futures.ThreadPoolExecutor() as threads:
            writers = [threads.submit(write) for _ in range(4)]
            self.assertTrue(program.eventually(lambda: len(acknowledged) > 50))
            server.kill()
            for writer in writers:
                writer.result(30)
        server.start()
        kept = {quote.serial_id for quote in self.stub(server).ListQuotes(
            quotes_pb2.ListQuotesRequest(page_size=1000)).quotes}
        self.assertGreaterEqual(kept, {quote.serial_id for quote in acknowledged[:1000]})

    def test_one_server_for_a_directory(self):
        server, stub = self.start()
        second = program.run("serve", f"--embedded_dir={server.folder}/database",
                             "--listen=127.0.0.1:0", "--http_listen=127.0.0.1:0")
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(f"{server.folder}/database", second.stderr)
        self.assertEqual(stub.CountQuotes(COUNT).count, 0)

    def test_port_taken(self):
        server, stub = self.start()
        second = program.run("serve", f"--embedded_dir={server.folder}/second",
                             f"--listen={server.grpc}", "--http_listen=127.0.0.1:0")
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(server.grpc, second.stderr)
        self.assertEqual(stub.CountQuotes(COUNT).count, 0)

    def test_interrupt(self):
        # Ctrl-C in a terminal.
        server, _ = self.start()
        self.assertEqual(server.end(signal.SIGINT), 0)
        self.assertEqual(server.postgres(), [])

    @unittest.skipIf(os.getuid(), "the other tests run as a user already")
    def test_as_a_user(self):
        server, stub = self.start(user="nobody")
        stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="Not by root."))
        server.kill()
        self.assertTrue(program.eventually(lambda: not server.postgres()))
        server.start()
        self.assertEqual(self.stub(server).CountQuotes(COUNT).count, 1)
        self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    unittest.main()
