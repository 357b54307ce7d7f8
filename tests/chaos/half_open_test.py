"""Packets to the database are lost without a word, and the service finds out.

The service reaches PostgreSQL through a pair of virtual network interfaces, in network namespaces of
the test's own: one for the test with the service, one for PostgreSQL. So this needs root."""

import concurrent.futures
import os
import subprocess
import sys
import time
import unittest

import grpc
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import cluster
import load
import server as program

# Ten seconds are promised; the machine may be busy with more than this test.
FOUND = 12
# A connect that is under way goes on with its next packet, at most 4 s after the last.
RETURN = 10
HERE, THERE = "10.211.77.1", "10.211.77.2"
NOBODY = "02:00:00:00:00:99"


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Network:
    """A namespace `name` beside our own, and the wire between the two."""

    def __init__(self):
        self.name = f"twi-half-open-{os.getpid()}"
        self.inside = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        ip("netns", "add", self.name)
        try:
            ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", self.name)
            ip("addr", "add", f"{HERE}/30", "dev", "here")
            ip("link", "set", "here", "up")
            ip("-n", self.name, "addr", "add", f"{THERE}/30", "dev", "there")
            ip("-n", self.name, "link", "set", "there", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # A namespace that is deleted keeps its interfaces for a while, and so the names of ours.
        subprocess.run(["ip", "link", "del", "here"], check=False)
        ip("netns", "del", self.name)

    def cut(self):
        """From now on each side sends to an interface that nobody has. Nobody is told."""
        ip("neigh", "replace", THERE, "lladdr", NOBODY, "dev", "here", "nud", "permanent")
        ip("-n", self.name, "neigh", "replace", HERE, "lladdr", NOBODY, "dev", "there", "nud",
           "permanent")

    def mend(self):
        ip("neigh", "del", THERE, "dev", "here")
        ip("-n", self.name, "neigh", "del", HERE, "dev", "there")


class HalfOpen(unittest.TestCase):

    def setUp(self):
        self.network = self.enterContext(Network())
        self.cluster = self.enterContext(cluster.Cluster(
            f"listen_addresses = '{THERE}'", prefix=self.network.inside,
            access=f"host service service {HERE}/32 trust"))
        self.server = self.enterContext(program.Server(
            f"--dsn=host={THERE} port=5432 user=service dbname=service", "--migrate"))
        self.channel = self.enterContext(grpc.insecure_channel(self.server.grpc))
        self.stub = quotes_pb2_grpc.QuotesServiceStub(self.channel)

    def broken(self):
        return program.metric(self.server, "twi_data_db_pool_connections_closed_total",
                              reason="broken")

    def connections(self):
        return sum(program.metric(self.server, "twi_data_db_pool_connections", state=state)
                   for state in ("idle", "busy"))

    def find_out(self, connections):
        """Waits until the service knows of every lost connection; how long that took."""
        begin = time.monotonic()
        self.network.cut()
        self.assertTrue(program.eventually(lambda: self.broken() >= connections, 3 * FOUND))
        seconds = time.monotonic() - begin
        print(f"{connections:.0f} lost connections found within {seconds:.1f} s", flush=True)
        self.assertLess(seconds, FOUND)

    def serve_again(self):
        begin = time.monotonic()
        self.network.mend()

        def serves():
            try:
                self.stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="Again?"), timeout=1)
                return self.stub.CountQuotes(quotes_pb2.CountQuotesRequest(), timeout=1)
            except grpc.RpcError:
                return None

        self.assertTrue(program.eventually(serves, 3 * RETURN))
        seconds = time.monotonic() - begin
        print(f"served again after {seconds:.1f} s", flush=True)
        self.assertLess(seconds, RETURN)

    def test_all_idle(self):
        self.stub.CountQuotes(quotes_pb2.CountQuotesRequest())
        self.assertEqual((self.connections(), self.broken()), (5, 0))
        self.find_out(5)
        self.serve_again()

    def test_busy(self):
        with concurrent.futures.ThreadPoolExecutor() as threads:
            # It waits for a lock in its session. We reach PostgreSQL another way.
            with program.transaction(self.cluster.admin.replace("dbname=postgres",
                                                                "dbname=service"),
                                     "lock table quotes in share mode"):
                write = threads.submit(self.stub.CreateQuote,
                                       quotes_pb2.CreateQuoteRequest(quote="Busy?"), timeout=60)
                self.assertTrue(program.eventually(lambda: program.query(
                    self.cluster.admin, "select count(*) from pg_stat_activity where usename = "
                    "'service' and wait_event_type = 'Lock'") == "1"))
                time.sleep(0.5)
                begin = time.monotonic()
                self.find_out(self.connections())
                with self.assertRaises(grpc.RpcError) as caught:
                    write.result()
                self.assertLess(time.monotonic() - begin, FOUND)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
                self.assertEqual(load.details(caught.exception)["ErrorInfo"].reason,
                                 "OUTCOME_UNKNOWN")
        self.serve_again()

    def test_sent_into_the_void(self):
        self.stub.CountQuotes(quotes_pb2.CountQuotesRequest())
        begin = time.monotonic()
        self.network.cut()
        # Nothing of it arrives.
        with self.assertRaises(grpc.RpcError) as caught:
            self.stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote="Void?"), timeout=60)
        seconds = time.monotonic() - begin
        print(f"answered after {seconds:.1f} s", flush=True)
        self.assertLess(seconds, FOUND)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
        self.serve_again()


if __name__ == "__main__":
    if "TWI_HALF_OPEN" not in os.environ:
        # Our own network is a namespace, too: loopback and the wire, and no address of anybody else.
        if os.getuid():
            sys.exit("network namespaces need root")
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv],
                   os.environ | {"TWI_HALF_OPEN": "1"})
    ip("link", "set", "lo", "up")
    unittest.main()
