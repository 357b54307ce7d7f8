"""The bot's traffic goes on while PostgreSQL is killed and comes back: nothing that was acknowledged is
lost, and nothing is there twice.

All of the trace: TWI_TEST_MESSAGES=31961 ctest --preset release -R chaos.replay --verbose"""

import os
import pathlib
import random
import subprocess
import time
import unittest

import cluster
import server as program

REPLAY = pathlib.Path(__file__).parent.parent / "clients" / "replay" / "replay"
MESSAGES = os.environ.get("TWI_TEST_MESSAGES")
DAY = int(MESSAGES or 2000)
ROUNDS = int(os.environ.get("TWI_TEST_ROUNDS", 3))


class Replay(unittest.TestCase):

    def saved(self):
        """How many messages are there."""
        return int(program.query(self.cluster.dsn, "select count(*) from messages"))

    def replay(self, messages, *arguments):
        return subprocess.Popen(
            [REPLAY, f"--target={self.server.grpc}", f"--dsn={self.cluster.dsn}",
             f"--messages={messages}", *arguments], text=True, env=program.ENVIRONMENT,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ended(self, replay, messages):
        """What it printed; it must have found each message once and whole."""
        printed = replay.communicate(timeout=500)[0]
        print(printed, flush=True)
        self.assertEqual(replay.returncode, 0)
        self.assertIn(f"{messages} messages, each once and whole", printed)
        return printed

    def survives(self, messages, *arguments):
        messages = int(MESSAGES or messages)
        self.cluster = self.enterContext(cluster.Cluster(
            "fsync = on", "recovery_init_sync_method = syncfs"))
        self.server = self.enterContext(program.Server(f"--dsn={self.cluster.dsn}", "--migrate"))
        with self.replay(messages, *arguments) as replay:
            for kill in range(ROUNDS):
                # Each a part of the way further, and well before the end.
                there = messages * kill // (2 * ROUNDS)
                self.assertTrue(program.eventually(lambda: self.saved() > there, 60))
                self.cluster.kill()
                self.assertIsNone(replay.poll(), "it was over before")
                time.sleep(random.uniform(0.1, 1))
                self.cluster.start()
            self.assertNotIn(" 0 calls made again", self.ended(replay, messages))
        with self.replay(messages, *arguments) as replay:
            self.assertIn(f" 0 messages created, {messages} were there, 0 calls made again",
                          self.ended(replay, messages))
        self.assertEqual(self.server.end(), 0)

    def test_live(self):
        """A day of the bot with two servers, while PostgreSQL is killed in the middle."""
        self.cluster = self.enterContext(cluster.Cluster(
            "fsync = on", "recovery_init_sync_method = syncfs"))
        servers = [self.enterContext(program.Server(f"--dsn={self.cluster.dsn}", "--migrate"))
                   for _ in range(2)]
        target = f"ipv4:{','.join(server.grpc for server in servers)}"
        with subprocess.Popen(
                [REPLAY, f"--target={target}", f"--dsn={self.cluster.dsn}", "--profile=live",
                 f"--messages={DAY}", "--users=600"], text=True, env=program.ENVIRONMENT,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as replay:
            self.assertTrue(program.eventually(lambda: self.saved() > DAY // 4, 60))
            self.cluster.kill()
            self.assertIsNone(replay.poll(), "it was over before")
            time.sleep(random.uniform(0.1, 1))
            self.cluster.start()
            printed = replay.communicate(timeout=500)[0]
            print(printed, flush=True)
            self.assertEqual(replay.returncode, 0)
        self.assertNotIn(" 0 calls made again", printed)
        self.assertIn(f"{DAY} messages and all else of the day, each once and whole", printed)
        for server in servers:
            calls = program.metric(server, "grpc_server_handled_total", grpc_method="SaveMessage",
                                   grpc_code="OK")
            self.assertGreater(calls, 0)
            self.assertEqual(server.end(), 0)

    def test_saved(self):
        self.survives(8000)

    def test_imported(self):
        self.survives(31_961, "--imported")


if __name__ == "__main__":
    unittest.main()
