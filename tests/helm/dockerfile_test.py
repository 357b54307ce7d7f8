"""The Dockerfile: well written, agreeing with the chart, and with all that the program is linked to. No image is
made here."""

import json
import os
import re
import subprocess
import unittest

import chart

PROGRAM = os.environ["TWI_PROGRAM"]


def lint(text):
    return subprocess.run([chart.NODE, "lint_dockerfile.js"], check=True, capture_output=True, text=True,
                          input=text, cwd=chart.VALUES.parent, timeout=250).stdout


def instructions(text):
    """Name and arguments of each, comments and continued lines resolved."""
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def installed():
    """Of each package on this machine: what it depends on, alternatives taken apart."""
    shown = subprocess.run(["dpkg-query", "--show", "--showformat=${Package}\t${Pre-Depends}, ${Depends}\n"],
                           check=True, capture_output=True, text=True).stdout
    return {name: set(re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]+)", depends))
            for name, depends in (line.split("\t") for line in shown.splitlines())}


class Dockerfile(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.text = (chart.PROJECT / "Dockerfile").read_text()
        every = instructions(cls.text)
        last = max(i for i, (name, _) in enumerate(every) if name == "FROM")
        cls.last = every[last:]

    def one(self, name):
        found = [rest for instruction, rest in self.last if instruction == name]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def test_lint(self):
        self.assertEqual(lint(self.text), "")
        self.assertIn("COPPY", lint("FROM debian\nCOPPY a b\n"))

    def test_agrees_with_the_chart(self):
        spec = chart.find(chart.monitored(), "Deployment")["spec"]["template"]["spec"]
        user, group = self.one("USER").split(":")
        self.assertEqual(int(user), spec["securityContext"]["runAsUser"])
        self.assertEqual(int(group), spec["securityContext"]["runAsGroup"])
        ports = {port["containerPort"] for port in spec["containers"][0]["ports"]}
        self.assertEqual({int(port) for port in self.one("EXPOSE").split()}, ports)
        # The chart gives arguments alone.
        self.assertEqual(json.loads(self.one("ENTRYPOINT")), ["twi-data"])
        self.assertNotIn("command", spec["containers"][0])

    def test_small(self):
        self.assertIn("slim", self.one("FROM"))
        # Neither compilers nor headers.
        self.assertNotIn("-dev", " ".join(rest for _, rest in self.last))

    def test_libraries(self):
        linked = subprocess.run(["objdump", "--private-headers", PROGRAM], check=True, capture_output=True,
                                text=True).stdout
        depends = installed()
        listed = re.findall(r" (lib\S+)", next(rest for name, rest in self.last if name == "RUN"))
        there, new = set(), set(listed)
        while new:
            there |= new
            new = {package for name in new for package in depends.get(name, ())} - there
        needed = re.findall(r"NEEDED +(\S+)", linked)
        self.assertGreater(len(needed), 10)
        found = subprocess.run(["dpkg-query", "--search", *(f"*/{library}" for library in needed)],
                               check=True, capture_output=True, text=True).stdout
        for library in needed:
            owners = set(re.findall(rf"(?m)^([^:]+):.*/{re.escape(library)}$", found))
            self.assertTrue(owners & there, f"{library} of {owners}")

    def test_command_is_closed(self):
        command = json.loads(self.one("CMD"))
        environment = {"HOME": "/", "TWI_DATA_DSN": "host=/nonexistent"}
        done = subprocess.run([PROGRAM, *command], check=False, capture_output=True, text=True, timeout=250,
                              env=environment)
        self.assertEqual(done.returncode, 64)
        self.assertIn("--access_file", done.stderr)


if __name__ == "__main__":
    unittest.main()
