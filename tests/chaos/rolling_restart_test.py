"""Servers are replaced one after the other, and no client notices."""

import contextlib
import os
import signal
import unittest

import grpc

import cluster
import load
import server as program

ROUNDS = int(os.environ.get("TWI_TEST_ROUNDS", 3))
# The published one looks which servers are ready, and has what may be done twice tried again elsewhere.
SERVICE_CONFIG = (program.CONTRACT.parents[3] / "clients" / "service_config.json").read_text()


class RollingRestart(unittest.TestCase):

    def test_no_call_fails(self):
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(cluster.Cluster())
            servers = []
            # Addresses that nobody else uses: while a server is away, no other takes its port.
            for address in "127.0.0.2:0", "127.0.0.3:0":
                server = stack.enter_context(program.Server(
                    f"--dsn={database.dsn}", "--migrate", "--drain_notice=1s",
                    f"--listen={address}"))
                # It comes back where clients know it to be.
                server.flags.append(f"--listen={server.grpc}")
                servers.append(server)
            channel = stack.enter_context(grpc.insecure_channel(
                "ipv4:" + ",".join(server.grpc for server in servers),
                options=[("grpc.service_config", SERVICE_CONFIG)]))
            with load.Load(channel) as callers:
                for _ in range(ROUNDS):
                    for server in servers:
                        # The other one is to take over, so clients must have found it.
                        self.assertTrue(program.eventually(lambda: all(map(self.serves, servers))))
                        self.assertEqual(server.end(signal.SIGTERM), 0)
                        server.start()
                self.assertTrue(program.eventually(lambda: all(map(self.serves, servers))))

            print(f"{len(callers.answers())} calls over {2 * ROUNDS} restarts\n"
                  f"{callers.summary()}")
            self.assertEqual([answer for answer in callers.answers() if not answer.ok], [])
            self.assertEqual(callers.check_rows(self, database.dsn), (0, 0))

    def serves(self, server):
        """Clients have found it since it was started."""
        return program.metric(server, "grpc_server_handled_total", grpc_method="GetQuote",
                              grpc_code="OK")


if __name__ == "__main__":
    unittest.main()
