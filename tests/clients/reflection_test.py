"""Reflection v1 and v1alpha, used by Node's grpc-js: see reflection.js."""

import os
import pathlib
import subprocess
import unittest

import server as program

SCRIPT = pathlib.Path(__file__).with_name("reflection.js")


class Reflection(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())

    def call(self, version):
        node = subprocess.run([os.environ["NODE"], SCRIPT, self.server.grpc, version, *program.DATA_SERVICES],
                              check=False, capture_output=True, text=True, timeout=60)
        self.assertEqual(node.returncode, 0, node.stdout + node.stderr)

    def test_v1(self):
        self.call("v1")

    def test_v1alpha(self):
        self.call("v1alpha")


if __name__ == "__main__":
    unittest.main()
