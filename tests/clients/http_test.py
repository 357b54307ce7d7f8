"""The HTTP port: probes and metrics."""

import unittest

import grpc

import server as program

SERVICE = "twi.data.v1.QuotesService"


class Http(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))

    def call(self, method, request=b""):
        """Calls with bytes; the name of the status."""
        try:
            self.channel.unary_unary(method)(request)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    def handled(self, method, code):
        return program.metric(self.server, "grpc_server_handled_total", grpc_type="unary",
                              grpc_service=SERVICE, grpc_method=method, grpc_code=code)

    def test_probes(self):
        self.assertEqual(program.get(self.server, "/livez")[0], 200)
        self.assertEqual(program.get(self.server, "/readyz")[0], 200)
        self.assertEqual(program.get(self.server, "/nothing")[0], 404)

    def test_calls_are_counted_by_method_and_status(self):
        before = self.handled("CountQuotes", "OK"), self.handled("GetQuote", "NotFound")
        for _ in range(5):
            self.assertEqual(self.call(f"/{SERVICE}/CountQuotes"), "OK")
        for _ in range(3):
            # serial_id: 9
            self.assertEqual(self.call(f"/{SERVICE}/GetQuote", b"\x08\x09"), "NOT_FOUND")
        after = before[0] + 5, before[1] + 3
        # The record of a call is made after its caller has the answer.
        self.assertTrue(program.eventually(lambda: after == (
            self.handled("CountQuotes", "OK"), self.handled("GetQuote", "NotFound"))))

    def test_every_series_exists_from_the_start(self):
        self.assertEqual(self.handled("DeleteQuote", "Internal"), 0)

    def test_callers_make_no_labels(self):
        self.assertEqual(self.call("/made.up.Service/MadeUp"), "UNIMPLEMENTED")
        self.assertNotIn("MadeUp", program.get(self.server, "/metrics")[1])

    def test_statements_and_schema(self):
        self.call(f"/{SERVICE}/CountQuotes")
        operation = {"operation": "QuotesService/CountQuotes"}
        self.assertTrue(program.eventually(lambda: any(
            program.metric(self.server, "twi_data_db_query_seconds_count", mode=mode, **operation)
            for mode in ("batch", "solo"))))
        self.assertEqual(program.metric(self.server, "twi_data_schema_version"), self.server.schema)


if __name__ == "__main__":
    unittest.main()
