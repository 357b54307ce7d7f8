"""The chart against the real program: metrics, flags, paths and ports that it names are there, and each of its
containers does what it is for, run as Kubernetes would run it."""

import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest

import grpc
import yaml

import chart

sys.path.append(str(chart.PROJECT / "tests" / "clients"))
import certificates
import server as program

# Of Prometheus itself, and of kube-state-metrics.
FOREIGN = {"up", "kube_job_status_failed"}
# Values that appear when something happens first, which here does not. The source has them.
RARE = {"join", "resources", "statement"}
SOURCE = (chart.PROJECT / "server" / "metrics.cc").read_text()
TARGET_LABELS = {"namespace", "job", "instance", "pod", "job_name"}


def series(page):
    """Every series of a page of metrics: name and labels."""
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            yield name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))


class Names(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())
        # Of changes it tells once it follows them.
        def page():
            text = program.get(cls.server, "/metrics")[1]
            return text if "\ntwi_data_cache_lag_seconds " in text else None
        cls.page = program.eventually(page, 60)
        assert cls.page, "it does not follow changes"
        cls.series = {}
        for name, labels in series(cls.page):
            for label, value in labels.items():
                cls.series.setdefault(name, {}).setdefault(label, set()).add(value)
            cls.series.setdefault(name, {})
        cls.recorded = {rule["record"] for group in chart.rules() for rule in group["rules"]
                        if "record" in rule}

    def assert_there(self, expression):
        for name, matchers in chart.selectors(expression):
            if name in FOREIGN or name in self.recorded:
                continue
            self.assertIn(name, self.series)
            for label, operator, value in matchers:
                if label in TARGET_LABELS:
                    continue
                self.assertIn(label, self.series[name], name)
                there = self.series[name][label] | {one for one in RARE if f'"{one}"' in SOURCE}
                value = value.replace("\\\\", "\\")
                for choice in value.split("|") if operator == "=~" else [value]:
                    self.assertTrue(any(re.fullmatch(choice, one) for one in there),
                                    f"{name}: {label} is never {choice}")

    def test_of_alerts(self):
        for group in chart.rules():
            for rule in group["rules"]:
                with self.subTest(rule=rule.get("alert") or rule["record"]):
                    self.assertTrue(list(chart.selectors(rule["expr"])))
                    self.assert_there(rule["expr"])

    def test_of_the_dashboard(self):
        board = chart.dashboard()
        self.assertGreater(len(chart.expressions(board)), 40)
        for panel, expression in chart.expressions(board):
            with self.subTest(panel=panel):
                self.assert_there(expression)

    def test_a_name_that_is_not_there_is_seen(self):
        for wrong in ("rate(twi_data_made_up_total[5m])", 'sum(twi_data_cache_source{source="river"})',
                      'twi_data_cache_source{way="stream"}'):
            with self.assertRaises(AssertionError):
                self.assert_there(wrong)

    def test_prometheus_takes_page_and_dashboard(self):
        done = subprocess.run([chart.PROMTOOL, "check", "metrics"], check=False, input=self.page,
                              capture_output=True, text=True, timeout=250)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rules = [{"record": f"panel:{i}", "expr": expression}
                 for i, (_, expression) in enumerate(chart.expressions(chart.dashboard()))]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
            file.flush()
            done = subprocess.run([chart.PROMTOOL, "check", "rules", file.name], check=False,
                                  capture_output=True, text=True, timeout=250)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_panels_do_not_cover_each_other(self):
        taken, ids = set(), set()
        for panel in chart.dashboard()["panels"]:
            grid = panel["gridPos"]
            place = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                     for y in range(grid["y"], grid["y"] + grid["h"])}
            self.assertFalse(place & taken, panel["title"])
            self.assertLessEqual(grid["x"] + grid["w"], 24)
            taken |= place
            ids.add(panel["id"])
        self.assertEqual(len(ids), len(chart.dashboard()["panels"]))

    def test_paths_of_probes(self):
        container = chart.find(chart.monitored(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
        for kind in "startup", "liveness", "readiness":
            self.assertEqual(program.get(self.server, container[f"{kind}Probe"]["httpGet"]["path"])[0], 200)
        endpoint = chart.find(chart.monitored(), "ServiceMonitor")["spec"]["endpoints"][0]
        self.assertEqual(program.get(self.server, endpoint["path"])[0], 200)


class Containers(unittest.TestCase):
    """Runs the containers of a release, with its Secrets in a folder."""

    @classmethod
    def setUpClass(cls):
        cls.database = cls.enterClassContext(program.Server())
        cls.flags = set(re.findall(r"--(\w+)", program.run("--help").stdout))

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.manifests, self.secrets = [], {}

    def release(self, name, values, **secrets):
        """Renders values of a file and others; the Secrets are those given, and the chart's own."""
        self.manifests = chart.render(chart.merge(chart.values_of(name), values))
        self.secrets = secrets | {m["metadata"]["name"]: m["stringData"] for m in self.manifests
                                  if m["kind"] == "Secret"}

    def lay_out(self, spec):
        """Lays out the volumes of a pod, as the kubelet does."""
        maps = {m["metadata"]["name"]: m["data"] for m in self.manifests if m["kind"] == "ConfigMap"}
        shutil.rmtree(self.folder / "etc", ignore_errors=True)
        for volume in spec.get("volumes") or []:
            folder = self.folder / "etc" / volume["name"]
            folder.mkdir(parents=True)
            source = volume.get("secret") or volume["configMap"]
            data = self.secrets[source["secretName"]] if "secret" in volume else maps[source["name"]]
            for item in source.get("items") or [{"key": key, "path": key} for key in data]:
                (folder / item["path"]).write_text(data[item["key"]])

    def command(self, container, **places):
        """What a container is started with: arguments, and all of its environment."""
        def here(text):
            for there, place in {"/etc/twi-data": f"{self.folder}/etc", **places}.items():
                text = text.replace(there, place)
            return text
        environment = {"HOME": "/"}
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            value = self.secrets[source["name"]][source["key"]] if source else here(variable["value"])
            environment[variable["name"]] = value
        for argument in container["args"]:
            if argument.startswith("--"):
                self.assertIn(argument[2:].partition("=")[0], self.flags)
        return [here(argument) for argument in container["args"]], environment

    def complete(self, spec, **places):
        """Runs all containers of a pod that ends; each must end well."""
        self.lay_out(spec)
        for container in spec.get("initContainers", []) + spec["containers"]:
            arguments, environment = self.command(container, **places)
            done = subprocess.run([program.PROGRAM, *arguments], check=False, capture_output=True,
                                  text=True, timeout=250, env=environment, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")

    def serve(self):
        """The server of the release, ready; what migrates before it has done so."""
        spec = chart.find(self.manifests, "Deployment")["spec"]["template"]["spec"]
        self.complete(spec | {"containers": []})
        # Where all pods are to listen, several tests cannot.
        arguments, environment = self.command(spec["containers"][0], **{
            "0.0.0.0:50051": "127.0.0.1:0", "0.0.0.0:9464": "127.0.0.1:0"})
        self.assertEqual(arguments.pop(0), "serve")
        return self.enterContext(program.Server(*arguments, environment=environment))

    def helm_test(self, server):
        self.complete(chart.find(self.manifests, "Pod", "-test")["spec"], **{"twi-data:50051": server.grpc})

    def new_database(self):
        """The DSN of an empty database."""
        name = f"release_{self.id().rpartition('.')[2]}"
        program.query(self.database.dsn, f"create database {name}")
        return self.database.dsn.replace("dbname=twi", f"dbname={name}")

    def test_for_trying(self):
        dsn = self.new_database()
        self.release("trying", {"database": {"dsn": dsn}, "drain": {"noticeSeconds": 0}})
        server = self.serve()
        self.assertEqual(program.get(server, "/readyz"), (200, "ok\n"))
        self.helm_test(server)
        # What the cache follows is there soon after, made by `--migrate`.
        self.assertTrue(program.eventually(
            lambda: program.metric(server, "twi_data_cache_source", source="stream") == 1, 60))
        # Whoever runs nothing has to see it.
        self.assertEqual(server.end(), 0)
        with self.assertRaises(AssertionError):
            self.helm_test(server)

    def test_guarded(self):
        dsn = self.new_database()
        made = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        authority = certificates.Authority(made)
        pair = authority.issue("DNS:twi-data")
        ca = authority.pair.certificate.read_text()
        self.release(
            "guarded", {"database": {"tlsSecret": ""}, "drain": {"noticeSeconds": 0}},
            **{"cluster-app": {"uri": dsn}, "cluster-superuser": {"uri": dsn}, "clients": {"ca.crt": ca},
               "server-tls": {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}})
        server = self.serve()
        server.tls = ssl.create_default_context(cadata=ca)
        server.tls.check_hostname = False
        self.assertEqual(program.get(server, "/readyz"), (200, "ok\n"))
        self.assertEqual(program.metric(server, "twi_data_db_pool_max"), 12)
        self.helm_test(server)
        with grpc.insecure_channel(server.grpc) as channel, self.assertRaises(grpc.RpcError):
            channel.unary_unary("/twi.data.v1.QuotesService/CountQuotes")(b"", timeout=5)

        jobs = {m["metadata"]["name"]: m["spec"]["jobTemplate"]["spec"]["template"]["spec"]
                for m in self.manifests if m["kind"] == "CronJob"}
        self.assertEqual(set(jobs), {"twi-data-maintain", "twi-data-refresh-views"})
        for spec in jobs.values():
            self.complete(spec)
        computed = "select count(*) from pg_matviews where ispopulated"
        self.assertEqual(program.query(dsn, computed), "6")


if __name__ == "__main__":
    unittest.main()
