"""`buf curl`, which like grpcurl learns from reflection what to send."""

import json
import subprocess
import unittest

import server as program

# buf's exit code is the status code times 8.
INVALID_ARGUMENT, NOT_FOUND = 3 << 3, 5 << 3


class Buf(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())

    def curl(self, *arguments, path="", code=0):
        """Runs `buf curl`, which must end with the code; what it printed."""
        buf = subprocess.run(
            [program.BUF, "curl", "--protocol", "grpc", *arguments,
             f"http://{self.server.grpc}{path}"],
            check=False, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(buf.returncode, code, buf.stdout + buf.stderr)
        return buf.stdout if code == 0 else buf.stderr

    def call(self, method, request, code=0):
        """Calls a method with JSON; the answer."""
        printed = self.curl("-d", json.dumps(request), path="/" + method, code=code)
        return json.loads(printed)

    def test_list(self):
        for version in "grpc-v1", "grpc-v1alpha":
            with self.subTest(version=version):
                services = self.curl("--reflect-protocol", version, "--list-services").split()
                self.assertEqual(services, [
                    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                    "grpc.reflection.v1alpha.ServerReflection", *program.DATA_SERVICES])
                methods = self.curl("--reflect-protocol", version, "--list-methods").split()
                self.assertIn("grpc.health.v1.Health/Check", methods)
                self.assertIn("twi.data.v1.QuotesService/SearchQuotes", methods)

    def test_health(self):
        for service in "", "twi.data.v1.QuotesService":
            self.assertEqual(self.call("grpc.health.v1.Health/Check", {"service": service}),
                             {"status": "SERVING"})
        self.call("grpc.health.v1.Health/Check", {"service": "no.such.Service"}, NOT_FOUND)

    def test_quotes(self):
        service = "twi.data.v1.QuotesService/"
        made = self.call(service + "CreateQuote", {
            "quote": "Sing to me.", "author": "Erin Solstice", "authorId": "1191234567890123456"})
        self.assertEqual(made["quote"]["authorId"], "1191234567890123456")
        key = {"serialId": made["quote"]["serialId"]}
        self.assertEqual(self.call(service + "GetQuote", key), {"quote": made["quote"]})
        self.assertEqual(self.call(service + "ListQuotes", {}), {"quotes": [made["quote"]]})
        self.assertEqual(self.call(service + "DeleteQuote", key), {})
        error = self.call(service + "GetQuote", key, NOT_FOUND)
        self.assertEqual(error["code"], "not_found")
        self.assertEqual([detail["type"] for detail in error["details"]], ["google.rpc.ErrorInfo"])
        self.call(service + "GetQuote", {}, INVALID_ARGUMENT)


if __name__ == "__main__":
    unittest.main()
