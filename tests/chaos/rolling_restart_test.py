"""Servers are replaced one after the other, and no client notices."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import unittest

import grpc

import cluster
import load
import server as program

ROUNDS = int(os.environ.get("TWI_TEST_ROUNDS", 2))
# The published one looks which servers are ready, and has what may be done twice tried again elsewhere.
SERVICE_CONFIG = program.CONTRACT.parents[3] / "clients" / "service_config.json"
METHOD, REQUEST, RATE = "/twi.data.v1.QuotesService/CountQuotes", "", "200"


class Callers:
    """A program that calls all servers for as long as the context lasts; `told` is what it was told then."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                        env=program.ENVIRONMENT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.told = json.loads(self.process.communicate(timeout=60)[0])


class RollingRestart(unittest.TestCase):

    def test_no_call_fails(self):
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(cluster.Cluster())
            servers = []
            # Addresses that nobody else uses: while a server is away, no other takes its port.
            for address in "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0":
                server = stack.enter_context(program.Server(
                    f"--dsn={database.dsn}", "--migrate", "--drain_notice=1s",
                    f"--listen={address}"))
                # It comes back where clients know it to be.
                server.flags.append(f"--listen={server.grpc}")
                servers.append(server)
            addresses = "ipv4:" + ",".join(server.grpc for server in servers)
            channel = stack.enter_context(grpc.insecure_channel(
                addresses, options=[("grpc.service_config", SERVICE_CONFIG.read_text())]))
            cpp = Callers(os.environ["TWI_CALLERS"], addresses, "nobody", METHOD, REQUEST, RATE, "3600",
                          str(SERVICE_CONFIG))
            node = Callers("node", str(pathlib.Path(__file__).with_name("callers.js")), addresses, METHOD,
                           REQUEST, RATE, str(SERVICE_CONFIG))
            with load.Load(channel) as callers, cpp, node:
                for _ in range(ROUNDS):
                    for server in servers:
                        # The others are to take over, so clients must have found them.
                        self.assertTrue(program.eventually(lambda: all(map(self.serves, servers))))
                        self.assertEqual(server.end(signal.SIGTERM), 0)
                        server.start()
                self.assertTrue(program.eventually(lambda: all(map(self.serves, servers))))

            print(f"{len(callers.answers())} calls over {len(servers) * ROUNDS} restarts, by C++ "
                  f"{cpp.told['ok']['calls']}, by Node {node.told['ok']}\n{callers.summary()}")
            self.assertEqual([answer for answer in callers.answers() if not answer.ok], [])
            self.assertEqual(callers.check_rows(self, database.dsn), (0, 0))
            self.assertGreater(cpp.told["ok"]["calls"], 0)
            self.assertEqual(cpp.told["refused"]["calls"] + cpp.told["other"]["calls"], 0)
            self.assertGreater(node.told["ok"], 0)
            self.assertEqual(node.told["others"], [])

    def serves(self, server):
        """Clients have found it since it was started."""
        return program.metric(server, "grpc_server_handled_total", grpc_method="GetQuote",
                              grpc_code="OK")


if __name__ == "__main__":
    unittest.main()
