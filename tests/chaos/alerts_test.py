"""A real Prometheus watches a real server, and tells of what befalls it by the alerts of the chart; of the
bot's day it tells nothing. A minute of theirs is three seconds here."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

import grpc
import yaml
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import cluster
import server as program

sys.path.append(str(pathlib.Path(__file__).parent.parent / "helm"))
import chart

REPLAY = pathlib.Path(__file__).parent.parent / "clients" / "replay" / "replay"
# So many take some seconds, and an alert of two minutes six.
MESSAGES = os.environ.get("TWI_TEST_MESSAGES", "10000")
SECONDS = {"m": 3, "h": 180, "d": 4320}


def shortened(text):
    """PromQL or a duration with each of its times divided by 20."""
    return re.sub(r"\b(\d+)([mhd])\b", lambda match: f"{int(match[1]) * SECONDS[match[2]]}s", text)


class Prometheus:
    """Watches a server every second. As a context it runs until the end."""

    def __init__(self, server):
        self.folder = tempfile.TemporaryDirectory(prefix="twi-prometheus.")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        rules = chart.rules()
        for group in rules:
            for rule in group["rules"]:
                rule["expr"] = shortened(rule["expr"])
                if "for" in rule:
                    rule["for"] = shortened(rule["for"])
        self.write("rules.yaml", {"groups": rules})
        self.write("prometheus.yaml", {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "twi-data", "static_configs": [
                {"targets": [server.http], "labels": {"namespace": "bot"}}]}]})

    def write(self, name, what):
        (pathlib.Path(self.folder.name) / name).write_text(yaml.safe_dump(what))

    def __enter__(self):
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
             f"--web.listen-address={self.address}", "--log.level=error"], cwd=self.folder.name,
            stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.folder.cleanup()

    def ask(self, path):
        """The data of an answer; None while there is none."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def firing(self):
        alerts = (self.ask("alerts") or {"alerts": []})["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def value(self, query):
        """Of the first series; None when there is none."""
        found = self.ask(f"query?query={query}")
        return float(found["result"][0]["value"][1]) if found and found["result"] else None


class Traffic:
    """Calls that go on whatever comes of them, for as long as the context lasts."""

    def __init__(self, server):
        self.channel = grpc.insecure_channel(server.grpc)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        stub = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        while not self.stopping.wait(0.02):
            try:
                stub.CountQuotes(quotes_pb2.CountQuotesRequest(), timeout=5,
                                 metadata=[("x-freshness", "bypass")])
            except grpc.RpcError:
                pass

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.channel.close()


class Alerts(unittest.TestCase):

    def setUp(self):
        self.cluster = self.enterContext(cluster.Cluster())
        self.server = self.enterContext(program.Server(f"--dsn={self.cluster.dsn}", "--migrate"))
        self.prometheus = self.enterContext(Prometheus(self.server))
        self.assertTrue(program.eventually(lambda: self.prometheus.value("up") == 1, 60))
        # It may have begun before there was anything to see.
        self.assert_calms()

    def assert_fires(self, *names):
        self.assertTrue(program.eventually(lambda: self.prometheus.firing() >= set(names), 60),
                        (names, self.prometheus.firing()))

    def assert_calms(self):
        self.assertTrue(program.eventually(lambda: not self.prometheus.firing(), 120),
                        self.prometheus.firing())

    def test_a_day_of_the_bot_is_none(self):
        fired = set()
        with subprocess.Popen([REPLAY, f"--target={self.server.grpc}", f"--dsn={self.cluster.dsn}",
                               "--profile=live", f"--messages={MESSAGES}"], env=program.ENVIRONMENT,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as replay:
            while replay.poll() is None:
                fired |= self.prometheus.firing()
            self.assertEqual(replay.returncode, 0)

        def has_seen_it():
            fired.update(self.prometheus.firing())
            return (self.prometheus.value("twi_data:calls:rate5m") or 0) > 5
        self.assertTrue(program.eventually(has_seen_it, 15))
        self.assertEqual(fired, set())

    def test_each_fault_has_its_own(self):
        with Traffic(self.server):
            program.query(self.cluster.dsn, "alter table quotes rename to gone")
            self.assert_fires("TwiDataSchemaMismatch")
            # Callers are told that it is not their fault, nor one that may pass.
            self.assertNotIn("TwiDataErrorsFast", self.prometheus.firing())
            program.query(self.cluster.dsn, "alter table gone rename to quotes")
            self.assert_calms()

            self.cluster.kill()
            self.assert_fires("TwiDataDatabaseDown", "TwiDataErrorsFast")
            self.assertNotIn("TwiDataInstanceDown", self.prometheus.firing())
            self.cluster.start()
            self.assert_calms()

        self.assertEqual(self.server.end(), 0)
        self.assert_fires("TwiDataInstanceDown", "TwiDataAbsent")


if __name__ == "__main__":
    unittest.main()
