"""The alerts: Prometheus takes them, each fires when it should and not before, and each has its entry in
docs/operations.md. What is tested is what the chart makes."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

import chart

CASES = pathlib.Path(__file__).with_name("alerts.yaml")


def ours(series):
    """A series with the labels of the release, if it does not say whose it is."""
    mine = "" if "namespace=" in series else 'namespace="bot",'
    mine += "" if "job=" in series else 'job="twi-data",'
    return series.replace("{", "{" + mine)


class Alerts(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (cls.folder / "rules.yaml").write_text(yaml.safe_dump({"groups": chart.rules()}))
        cls.cases = yaml.safe_load(CASES.read_text())

    def promtool(self, *arguments):
        done = subprocess.run([chart.PROMTOOL, *arguments], check=False, capture_output=True, text=True,
                              cwd=self.folder, timeout=250)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_prometheus_takes_them(self):
        self.promtool("check", "rules", "rules.yaml")

    def test_each_fires_and_not_before(self):
        fire = [case["alert"] for case in self.cases if "fires" in case]
        self.assertEqual(sorted(fire), sorted(chart.alerts()))
        # Days by the minute would take long.
        for interval in "1m", "5m":
            tests = [self.asked(case) for case in self.cases if case.get("interval", "1m") == interval]
            self.assertTrue(tests)
            (self.folder / f"{interval}.yaml").write_text(yaml.safe_dump(
                {"rule_files": ["rules.yaml"], "evaluation_interval": interval, "tests": tests}))
        self.promtool("test", "rules", "1m.yaml", "5m.yaml")

    def asked(self, case):
        """What promtool is to do for a case."""
        name, fires = case["alert"], case.get("fires", {})
        rule = chart.alerts()[name]
        words = rule["annotations"] | {key: fires[key] for key in ("summary", "description") if key in fires}
        fired = {"exp_labels": rule["labels"] | fires.get("labels", {}), "exp_annotations": words}
        self.assertTrue(case["quiet"], name)
        return {"name": name, "interval": case.get("interval", "1m"),
                "input_series": [{"series": ours(series), "values": values}
                                 for series, values in case["given"].items()],
                "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": expected}
                                    for at, expected in [*((at, []) for at in case["quiet"]),
                                                         *([(fires["at"], [fired])] if fires else [])]]}

    def test_each_has_its_entry(self):
        text = (chart.PROJECT / "docs" / "operations.md").read_text()
        self.assertEqual(sorted(re.findall(r"(?m)^### (TwiData\w+)$", text)), sorted(chart.alerts()))
        for name, alert in chart.alerts().items():
            self.assertEqual(alert["annotations"]["runbook_url"],
                             f"https://example.org/operations.md#{name.lower()}")
            self.assertIn(alert["labels"]["severity"], {"info", "warning", "critical"})
            self.assertEqual(alert["labels"]["team"], "twi")

    def test_none_is_of_another_release(self):
        for group in chart.rules():
            for rule in group["rules"]:
                found = list(chart.selectors(rule["expr"]))
                # What is recorded has the labels of the release, by which it is joined to the first.
                for name, matchers in found[:1] + [(n, m) for n, m in found[1:] if ":" not in n]:
                    with self.subTest(rule=rule.get("alert") or rule["record"], metric=name):
                        self.assertIn(("namespace", "=", "bot"), matchers)
                        self.assertTrue({("job", "=", "twi-data")} & set(matchers) or name.startswith("kube_"))


if __name__ == "__main__":
    unittest.main()
