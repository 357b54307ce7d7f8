"""Traces: what callers send of theirs comes back, and goes on to a collector that is slow, away, or there."""

import contextlib
import http.server
import json
import threading
import unittest

import grpc
from raw import query
from twi.data.v1 import database_pb2, database_pb2_grpc, quotes_pb2, quotes_pb2_grpc

import server as program

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


class Collector(http.server.ThreadingHTTPServer):
    """Takes what is sent to it, once `open` is set."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taker)
        self.open = threading.Event()
        self.open.set()
        self.spans = []
        self.resources = []
        self.paths = set()
        self.status = 200

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.open.set()
        self.shutdown()
        self.server_close()


class Taker(http.server.BaseHTTPRequestHandler):

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.open.wait(60)
        self.server.paths.add((self.path, self.headers["Content-Type"]))
        for resource in body["resourceSpans"]:
            self.server.resources.append(attributes(resource["resource"]))
            for scope in resource["scopeSpans"]:
                self.server.spans += scope["spans"]
        # Who has waited for too long is gone.
        with contextlib.suppress(OSError):
            self.send_response(self.server.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def attributes(thing):
    return {one["key"]: next(iter(one["value"].values())) for one in thing["attributes"]}


def returned(call):
    """The traceparents that a call got back."""
    return [value for key, value in call.trailing_metadata() if key == "traceparent"]


class Traces(unittest.TestCase):

    def setUp(self):
        self.collector = self.enterContext(Collector())
        self.server = self.enterContext(program.Server(
            f"--otlp_endpoint={self.collector.endpoint}", "--log_format=json", "--access_log"))
        self.channel = self.enterContext(grpc.insecure_channel(self.server.grpc))
        self.quotes = quotes_pb2_grpc.QuotesServiceStub(self.channel)

    def count(self, traceparent):
        """Asks the database, not the cache; what came back beside the answer."""
        return self.quotes.CountQuotes.with_call(
            quotes_pb2.CountQuotesRequest(),
            metadata=[("traceparent", traceparent), ("x-freshness", "bypass")])[1]

    def spans(self, count):
        program.eventually(lambda: len(self.collector.spans) >= count, 30)
        return self.collector.spans

    def counted(self, result):
        return program.metric(self.server, "twi_data_trace_spans_total", result=result)

    def test_a_trace_goes_on_through_the_call_and_its_statement(self):
        back, = returned(self.count(SAMPLED))
        version, trace, span, flags = back.split("-")
        self.assertEqual((version, trace, flags), ("00", TRACE, "01"))
        self.assertNotIn(span, (PARENT, "0" * 16))

        spans = {one["kind"]: one for one in self.spans(2)}
        self.assertEqual(len(self.collector.spans), 2)
        call, statement = spans[2], spans[3]
        self.assertEqual(call["name"], "twi.data.v1.QuotesService/CountQuotes")
        self.assertEqual((call["traceId"], call["spanId"], call["parentSpanId"]), (TRACE, span, PARENT))
        self.assertEqual(attributes(call), {
            "rpc.system": "grpc", "rpc.service": "twi.data.v1.QuotesService",
            "rpc.method": "CountQuotes", "rpc.grpc.status_code": "0"})
        self.assertEqual(call["status"], {})
        self.assertEqual(statement["name"], "QuotesService/CountQuotes")
        self.assertEqual((statement["traceId"], statement["parentSpanId"]), (TRACE, span))
        self.assertEqual(attributes(statement), {
            "db.system": "postgresql", "db.operation.name": "QuotesService/CountQuotes"})
        for one in spans.values():
            self.assertLess(int(one["startTimeUnixNano"]), int(one["endTimeUnixNano"]))
        self.assertEqual(self.collector.paths, {("/v1/traces", "application/json")})
        self.assertEqual(self.collector.resources[0]["service.name"], "twi-data")
        self.assertTrue(program.eventually(lambda: self.counted("sent") == 2))
        line, = [json.loads(line) for line in self.server.log().splitlines() if "CountQuotes" in line]
        self.assertEqual(line["trace_id"], TRACE)

    def test_failures_are_told(self):
        stub = database_pb2_grpc.DatabaseServiceStub(self.channel)
        with self.assertRaises(grpc.RpcError):
            stub.Fetch(database_pb2.FetchRequest(query=query("select 1/0 as secret")),
                       metadata=[("traceparent", SAMPLED)])
        with self.assertRaises(grpc.RpcError):
            stub.Fetch(database_pb2.FetchRequest(query=query("select pg_sleep(60)")), timeout=0.5,
                       metadata=[("traceparent", SAMPLED)])

        def calls():
            return {attributes(one)["rpc.grpc.status_code"]: one["status"]
                    for one in self.collector.spans if one["kind"] == 2}
        self.assertTrue(program.eventually(lambda: len(calls()) == 2, 30))
        # What callers do wrong is no failure of the server's, but one of the statement.
        self.assertEqual(calls(), {"3": {}, "4": {"code": 2}})
        statement = [one for one in self.collector.spans
                     if one["kind"] == 3 and attributes(one).get("db.response.status_code") == "22012"]
        self.assertEqual(statement[0]["status"], {"code": 2})
        self.assertNotIn("secret", json.dumps(self.collector.spans))

    def test_who_does_not_sample_is_not_told(self):
        self.assertEqual(returned(self.count(SAMPLED[:-1] + "0"))[0][-3:], "-00")
        self.assertEqual(returned(self.count(SAMPLED[:-2] + "fe"))[0][-3:], "-00")
        self.count(SAMPLED[:-2] + "ff")
        self.assertEqual({one["parentSpanId"] for one in self.spans(2) if one["kind"] == 2}, {PARENT})
        self.assertEqual(len(self.collector.spans), 2)

    def test_what_is_no_traceparent_begins_no_trace(self):
        for wrong in ("", "00", f"ff-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-x",
                      f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
                      f"00-{TRACE.upper()}-{PARENT}-01", f"00-{TRACE}-{PARENT}-0g",
                      f"00-{TRACE}-{PARENT}_01", f"01-{TRACE}-{PARENT}-01x", "?" * 55, "0" * 5000):
            with self.subTest(wrong=wrong):
                self.assertEqual(returned(self.count(wrong)), [])
        call = self.quotes.CountQuotes.with_call(
            quotes_pb2.CountQuotesRequest(), metadata=[("traceparent", SAMPLED), ("traceparent", SAMPLED)])[1]
        self.assertEqual(returned(call), [])
        # A later version may say more.
        self.assertEqual(len(returned(self.count(f"01-{TRACE}-{PARENT}-01-more"))), 1)

    def test_a_collector_that_does_not_take_them_costs_spans_and_nothing_else(self):
        self.collector.status = 503
        self.count(SAMPLED)
        self.assertTrue(program.eventually(lambda: self.counted("not_taken") == 2, 30))
        self.assertEqual(self.counted("sent"), 0)
        self.collector.status = 200
        self.count(SAMPLED)
        self.assertTrue(program.eventually(lambda: self.counted("sent") == 2, 30))

    def test_a_collector_that_hangs_holds_up_no_call(self):
        self.collector.open.clear()
        calls = 300
        requests = [self.quotes.CountQuotes.future(
            quotes_pb2.CountQuotesRequest(), timeout=60,
            metadata=[("traceparent", SAMPLED), ("x-freshness", "bypass")]) for _ in range(calls)]
        for request in requests:
            self.assertIsNone(request.exception())
        self.assertTrue(program.eventually(lambda: self.counted("not_taken"), 30))
        self.assertEqual(self.counted("sent"), 0)
        # The end does not wait for it either.
        self.assertEqual(self.server.end(), 0)


class WithoutACollector(unittest.TestCase):

    def test_a_trace_is_returned_and_named_in_the_log(self):
        with program.Server("--log_format=json", "--log_level=debug") as server, \
                grpc.insecure_channel(server.grpc) as channel:
            quotes = quotes_pb2_grpc.QuotesServiceStub(channel)
            with self.assertRaises(grpc.RpcError) as caught:
                quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=999),
                                metadata=[("traceparent", SAMPLED)])
            self.assertEqual(returned(caught.exception)[0][:36], SAMPLED[:36])
            self.assertTrue(program.eventually(lambda: f'"trace_id":"{TRACE}"' in server.log()))
            with self.assertRaises(grpc.RpcError) as caught:
                quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=999))
            self.assertEqual(returned(caught.exception), [])
            for result in "sent", "queue_full", "not_taken":
                self.assertEqual(program.metric(server, "twi_data_trace_spans_total", result=result), 0)

    def test_a_wrong_endpoint_is_refused(self):
        for wrong in "collector:4318", "https://collector:4318", "http://collector", "http://a:1/path":
            with self.subTest(wrong=wrong):
                result = program.run("serve", f"--otlp_endpoint={wrong}")
                self.assertEqual(result.returncode, 64)
                self.assertIn("--otlp_endpoint", result.stderr)


if __name__ == "__main__":
    unittest.main()
