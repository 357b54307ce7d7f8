"""The chart: what it makes of values, what Kubernetes says of it, and which values it refuses."""

import base64
import functools
import json
import os
import re
import subprocess
import unittest

import yaml

import chart

COMMANDS = {"serve", "health", "migrate", "optimize", "refresh-views", "maintain"}


def mistakes(manifests):
    """What is wrong with manifests, and whether all of them were looked at."""
    done = subprocess.run([chart.NODE, "manifests.js"], check=False, capture_output=True, text=True,
                          input=json.dumps(manifests), cwd=chart.VALUES.parent, timeout=250)
    if done.returncode > 1 or f"{len(manifests)} looked at" not in done.stderr:
        raise AssertionError(done.stderr)
    return done.stdout


def everywhere(test):
    """Makes a test that is given the manifests of each file of values."""
    @functools.wraps(test)
    def run(self):
        for name, manifests in self.all.items():
            with self.subTest(values=name):
                test(self, manifests)
    return run


class Rendered(unittest.TestCase):
    """Holds for every file of values."""

    @classmethod
    def setUpClass(cls):
        cls.all = {name: chart.render(chart.values_of(name)) for name in chart.cases()}
        assert len(cls.all) >= 5

    def test_lint(self):
        for name in self.all:
            said = chart.helm("lint", "twi-data", "--strict", values=chart.values_of(name))
            self.assertIn("0 chart(s) failed", said)

    def test_kubernetes_takes_them(self):
        self.assertEqual(mistakes([manifest for all in self.all.values() for manifest in all]), "")

    @everywhere
    def test_no_two_of_one_name(self, manifests):
        names = [(m["kind"], m["metadata"]["name"]) for m in manifests]
        self.assertEqual(len(names), len(set(names)))

    @everywhere
    def test_selectors_select(self, manifests):
        labels = [labels for labels, _ in chart.pods(manifests).values()]
        servers, _ = chart.pods([chart.find(manifests, "Deployment")]).popitem()[1]

        def selected(selector, among):
            return [pod for pod in among if selector.items() <= pod.items()]

        for manifest in manifests:
            spec = manifest.get("spec", {})
            if manifest["kind"] == "Service":
                self.assertEqual(selected(spec["selector"], labels), [servers])
            if manifest["kind"] in ("Deployment", "PodDisruptionBudget"):
                self.assertEqual(selected(spec["selector"]["matchLabels"], labels), [servers])
            if manifest["kind"] == "NetworkPolicy":
                self.assertEqual(selected(spec["podSelector"]["matchLabels"], labels), labels)
            if manifest["kind"] == "ServiceMonitor":
                services = [m["metadata"] for m in manifests if m["kind"] == "Service"]
                chosen = selected(spec["selector"]["matchLabels"], [s["labels"] for s in services])
                # Not by the headless one, too.
                self.assertEqual(len(chosen), 1)

    @everywhere
    def test_volumes_are_there(self, manifests):
        for _, spec in chart.pods(manifests).values():
            there = {volume["name"] for volume in spec.get("volumes") or []}
            used = {mount["name"] for container in spec.get("initContainers", []) + spec["containers"]
                    for mount in container.get("volumeMounts") or []}
            self.assertEqual(there, used)

    @everywhere
    def test_no_rights(self, manifests):
        for container, spec in chart.containers(manifests):
            self.assertIs(spec["automountServiceAccountToken"], False)
            # Services' names would be flags: TWI_DATA_….
            self.assertIs(spec["enableServiceLinks"], False)
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
            self.assertIs(container["securityContext"]["readOnlyRootFilesystem"], True)
            self.assertIs(container["securityContext"]["allowPrivilegeEscalation"], False)
            self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
            self.assertIn("memory", container["resources"]["limits"])

    @everywhere
    def test_time_to_end(self, manifests):
        spec = chart.find(manifests, "Deployment")["spec"]["template"]["spec"]
        flags = dict(arg[2:].split("=") for arg in spec["containers"][0]["args"] if "=" in arg)
        takes = sum(int(flags[name].removesuffix("s")) for name in ("drain_notice", "shutdown_grace"))
        self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], takes + 10)

    @everywhere
    def test_commands_and_passwords(self, manifests):
        for container, _ in chart.containers(manifests):
            self.assertIn(container["args"][0], COMMANDS)
            self.assertNotIn("secret", " ".join(container["args"]))

    @everywhere
    def test_everything_is_of_the_release(self, manifests):
        for manifest in manifests:
            # The one that the values bring along.
            if manifest["metadata"]["name"] != "data-more":
                of = manifest["metadata"]["labels"]["app.kubernetes.io/instance"]
                self.assertEqual(of, "twi-data")


class Modes(unittest.TestCase):

    def containers_of(self, **values):
        manifests = chart.render(chart.merge(chart.values_of("plain"), values))
        spec = chart.find(manifests, "Deployment")["spec"]["template"]["spec"]
        jobs = [m["spec"]["template"]["spec"]["containers"][0]["args"] for m in manifests
                if m["kind"] == "Job"]
        return spec["containers"][0], spec.get("initContainers", []), jobs

    def test_migrations(self):
        for mode, flag, before, job in (("serve", True, 0, []), ("none", False, 0, []), ("init", False, 1, []),
                                        ("job", False, 0, [["migrate", "up"]])):
            with self.subTest(mode=mode):
                server, init, jobs = self.containers_of(migrations={"mode": mode})
                self.assertEqual("--migrate" in server["args"], flag)
                self.assertEqual([c["args"] for c in init], before * [["migrate", "up"]])
                self.assertEqual(jobs, job)

    def test_job_comes_first(self):
        manifests = chart.render(chart.values_of("large"))
        job = chart.find(manifests, "Job")
        self.assertEqual(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade")
        # As the owner, whose Secret is there before anything of the release.
        env = {e["name"]: e for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        self.assertEqual(env["TWI_DATA_DSN"]["valueFrom"]["secretKeyRef"], {"name": "owner", "key": "dsn"})
        self.assertNotIn("serviceAccountName", job["spec"]["template"]["spec"])

    def test_a_new_dsn_restarts(self):
        def checksum(dsn):
            values = chart.merge(chart.values_of("trying"), {"database": {"dsn": dsn}})
            template = chart.find(chart.render(values), "Deployment")["spec"]["template"]
            return template["metadata"]["annotations"]["checksum/dsn"]
        self.assertNotEqual(checksum("host=a"), checksum("host=b"))

    def test_probes_speak_as_the_port_does(self):
        for name, scheme in (("plain", "HTTP"), ("guarded", "HTTPS")):
            server = chart.find(chart.render(chart.values_of(name)), "Deployment")
            container = server["spec"]["template"]["spec"]["containers"][0]
            probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
            self.assertEqual([probe["scheme"] for probe in probes], 3 * [scheme])

    def test_only_grpc_is_open_to_the_world(self):
        large = chart.render(chart.values_of("large"))
        open_ones = [m for m in large if m["kind"] == "Service" and m["spec"].get("type", "ClusterIP") != "ClusterIP"]
        self.assertEqual([m["metadata"]["name"] for m in open_ones], ["data-external"])
        ports = [(port["port"], port["targetPort"]) for port in open_ones[0]["spec"]["ports"]]
        self.assertEqual(ports, [(443, "grpc")])

    def test_rules_are_of_the_job_that_is_scraped(self):
        # Prometheus names a job by the Service.
        for name in ("monitored", "large"):
            values = chart.merge(chart.values_of(name), {
                "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}})
            manifests = chart.render(values)
            wanted = chart.find(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
            service, = (m["metadata"]["name"] for m in manifests if m["kind"] == "Service"
                        and wanted.items() <= m["metadata"]["labels"].items())
            rules = json.dumps(chart.find(manifests, "PrometheusRule")["spec"])
            self.assertEqual(set(re.findall(r'job=\\"([^"]*)\\"', rules)), {service})
            self.assertNotIn("NAMESPACE", rules)
            self.assertNotIn("JOB", rules)

    def test_scaling(self):
        large = chart.render(chart.values_of("large"))
        self.assertNotIn("replicas", chart.find(large, "Deployment")["spec"])
        self.assertEqual(chart.find(large, "HorizontalPodAutoscaler")["spec"]["maxReplicas"], 12)
        kinds = [m["kind"] for m in chart.render(chart.values_of("trying"))]
        self.assertNotIn("PodDisruptionBudget", kinds)

    def test_disabled_alerts(self):
        values = chart.merge(chart.values_of("monitored"), {"prometheusRule": {"disabled": ["TwiDataAbsent"]}})
        groups = chart.find(chart.render(values), "PrometheusRule")["spec"]["groups"]
        left = {rule.get("alert") for group in groups for rule in group["rules"]}
        self.assertEqual(set(chart.alerts()) - left, {"TwiDataAbsent"})

    def test_notes(self):
        def notes(name, **values):
            # `helm template` keeps them to itself.
            show = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "notes"}, "stringData": {
                "text": '{{ include "twi-data/templates/NOTES.txt" . | b64enc }}'}}]
            layers = chart.merge(chart.values_of(name), values, {"extraObjects": show})
            secret = chart.find(chart.render(layers), "Secret", "notes")
            return base64.b64decode(secret["stringData"]["text"]).decode()
        self.assertIn("dns:///twi-data-headless.bot:50051", notes("plain"))
        self.assertIn("in the clear", notes("plain"))
        self.assertIn("up to 60 connections", notes("plain"))
        self.assertIn("up to 260 connections", notes("large"))
        self.assertIn("WARNING: whoever reaches", notes("trying"))
        self.assertNotIn("WARNING", notes("guarded"))


class Values(unittest.TestCase):

    def setUp(self):
        self.schema = json.loads((chart.CHART / "values.schema.json").read_text())
        self.text = (chart.CHART / "values.yaml").read_text()

    def refused(self, *layers):
        with self.assertRaises(chart.Refused) as caught:
            chart.render(chart.merge(chart.values_of("plain"), *layers))
        return str(caught.exception)

    def leaves(self, schema, path=()):
        if "$ref" in schema:
            schema = self.schema["definitions"][schema["$ref"].rpartition("/")[2]]
        for name, inner in schema.get("properties", {}).items():
            yield (*path, name), inner
            if inner.get("type") == "object":
                yield from self.leaves(inner, (*path, name))

    def test_unknown_ones_anywhere(self):
        # As many renderings as there are objects would take long: the schema says it of each.
        open_ones = {".".join(path) for path, inner in self.leaves(self.schema)
                     if inner.get("type") == "object" and inner.get("additionalProperties") is not False}
        self.assertEqual(open_ones, {"global", "affinity", "updateStrategy", "autoscaling.behavior",
                                     "serviceMonitor.tlsConfig"})
        self.assertIn("replica", self.refused({"replica": 3}))
        self.assertIn("poolMax", self.refused({"settings": {"poolMax": 3}}))

    def test_wrong_ones(self):
        for values in ({"replicas": "two"}, {"replicas": -1}, {"settings": {"slow_query": "fast"}},
                       {"migrations": {"mode": "always"}}, {"service": {"port": 70000}},
                       {"image": {"digest": "sha256:1"}}, {"jobs": {"maintain": {"schedule": "daily"}}},
                       {"extraArgs": ["serve"]}, {"database": {"existingSecret": "A Secret"}}):
            with self.subTest(values=values):
                self.assertIn("values don't meet the specifications of the schema", self.refused(values))

    def test_what_does_not_go_together(self):
        for values, word in (({"database": {"existingSecret": ""}}, "which database?"),
                             ({"database": {"dsn": "host=a"}}, "two databases"),
                             ({"access": {"existingSecret": ""}}, "who may call?"),
                             ({"access": {"insecure": True}}, "who may call?"),
                             ({"tls": {"clientCaSecret": "a"}}, "tls.clientCaSecret"),
                             ({"database": {"existingSecret": "", "dsn": "host=a"},
                               "migrations": {"mode": "job"}}, "migrations.mode=job"),
                             ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "autoscaling")):
            with self.subTest(values=values):
                self.assertIn(word, self.refused(values))

    def test_each_is_in_values_yaml_and_explained(self):
        defaults = yaml.safe_load(self.text)
        for path, _ in self.leaves(self.schema):
            with self.subTest(value=".".join(path)):
                if path[0] == "global":
                    continue
                if path[0] == "settings" and len(path) > 1:
                    self.assertRegex(self.text, rf"(?m)^#   {path[1]}: \S")
                    continue
                inside = defaults
                for name in path:
                    if name in ("requests", "limits"):
                        break
                    self.assertIn(name, inside)
                    inside = inside[name]

    def test_settings_say_the_defaults_of_the_program(self):
        usage = subprocess.run([os.environ["TWI_PROGRAM"], "--help"], check=True, capture_output=True,
                               text=True).stdout
        for flag, said in re.findall(r"(?m)^#   (\w+): (\S+)", self.text):
            if flag in self.schema["properties"]["settings"]["properties"]:
                with self.subTest(flag=flag):
                    # The usage says of flags of yes and no that they are off by having no value.
                    default = {"false": "", '""': "="}.get(said, f"={said}")
                    self.assertIn(f"  --{flag}{default} ", usage)


class Judge(unittest.TestCase):
    """That the judge of manifests sees mistakes."""

    def test_mistakes(self):
        deployment = chart.find(chart.render(chart.values_of("plain")), "Deployment")

        def changed(path, value):
            copy = json.loads(json.dumps(deployment))
            inside = copy
            for step in path[:-1]:
                inside = inside[step]
            if value is None:
                del inside[path[-1]]
            else:
                inside[path[-1]] = value
            return mistakes([copy])

        container = ("spec", "template", "spec", "containers", 0)
        self.assertIn("readOnlyRoot", changed((*container, "securityContext", "readOnlyRoot"), True))
        self.assertIn('"50051" is no number', changed((*container, "ports", 0, "containerPort"), "50051"))
        self.assertIn("selector", changed(("spec", "selector"), None))
        self.assertIn("not known", changed(("apiVersion",), "apps/v9"))


if __name__ == "__main__":
    unittest.main()
