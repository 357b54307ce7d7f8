"""clients/service_config.json is what follows from the protos."""

import json
import subprocess
import unittest

from google.protobuf import descriptor_pb2

import server as program

CLIENTS = program.CONTRACT.parents[3] / "clients"


class ServiceConfig(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.protos = program.run("proto", text=False).stdout
        cls.text = (CLIENTS / "service_config.json").read_text()

    def test_generated(self):
        made = subprocess.run([CLIENTS / "generate"], input=self.protos, check=True,
                              capture_output=True)
        self.assertEqual(self.text, made.stdout.decode(), "write it anew with tools/generate")

    def test_what_may_be_done_twice_is_tried_again(self):
        levels = descriptor_pb2.MethodOptions
        configs = {}
        for config in json.loads(self.text)["methodConfig"]:
            for name in config["name"]:
                name = f"{name['service']}/{name['method']}"
                self.assertNotIn(name, configs)
                configs[name] = config
        seen = set()
        for file in descriptor_pb2.FileDescriptorSet.FromString(self.protos).file:
            for service in file.service:
                for method in service.method:
                    name = f"{file.package}.{service.name}/{method.name}"
                    twice = method.options.idempotency_level != levels.IDEMPOTENCY_UNKNOWN
                    # Of streams that cannot be done twice there is nothing to say.
                    known = file.package == "twi.data.v1" and not method.client_streaming and (
                        twice or not method.server_streaming)
                    with self.subTest(method=name):
                        self.assertEqual(name in configs, known)
                        self.assertEqual("retryPolicy" in configs.get(name, {}), known and twice)
                        self.assertEqual("timeout" in configs.get(name, {}),
                                         known and not method.server_streaming)
                    seen.add(name)
        self.assertEqual(set(configs) - seen, set(), "there is no such method")
        self.assertEqual({name.split("/")[0] for name in configs}, set(program.DATA_SERVICES))

    def test_only_what_was_not_done_is_tried_again(self):
        for config in json.loads(self.text)["methodConfig"]:
            if "retryPolicy" in config:
                self.assertEqual(config["retryPolicy"]["retryableStatusCodes"], ["UNAVAILABLE", "CANCELLED"])


if __name__ == "__main__":
    unittest.main()
