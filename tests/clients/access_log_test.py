"""The log of calls, where it is asked for."""

import json
import unittest

import grpc
from twi.data.v1 import links_pb2, links_pb2_grpc, quotes_pb2, quotes_pb2_grpc

import server as program


def lines(server, rpc):
    """The lines of the log of calls of that method, once there is one."""
    def found():
        told = [json.loads(line) for line in server.log().splitlines()]
        return [line for line in told if line.get("rpc", "").endswith(rpc)]
    program.eventually(found)
    return found()


class AccessLog(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server("--access_log", "--log_format=json"))
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        cls.quotes = quotes_pb2_grpc.QuotesServiceStub(cls.channel)
        cls.links = links_pb2_grpc.LinksServiceStub(cls.channel)

    def test_each_call_has_one_line(self):
        # More than of any other message in a second.
        request = quotes_pb2.CreateQuoteRequest(quote="A secret of hers", author_id=7)
        calls = [self.quotes.CreateQuote.future(request) for _ in range(50)]
        answer = [call.result() for call in calls][0]
        self.assertTrue(program.eventually(lambda: len(lines(self.server, "/CreateQuote")) == 50))
        line = lines(self.server, "/CreateQuote")[0]
        self.assertEqual((line["msg"], line["level"], line["code"]), ("call", "info", "OK"))
        self.assertEqual(line["rpc"], "/twi.data.v1.QuotesService/CreateQuote")
        self.assertEqual(line["in_bytes"], request.ByteSize())
        self.assertAlmostEqual(line["out_bytes"], answer.ByteSize(), delta=8)
        self.assertGreater(line["dur_s"], 0)
        self.assertIn("127.0.0.1", line["peer"])
        self.assertEqual((line["principal"], line["cache"]), ("", ""))
        self.assertNotIn("reason", line)
        self.assertNotIn("A secret", self.server.log())

    def test_a_call_that_fails_has_no_other(self):
        with self.assertRaises(grpc.RpcError):
            self.quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=987654))
        line, = lines(self.server, "/GetQuote")
        self.assertEqual((line["msg"], line["code"], line["reason"]),
                         ("call failed", "NOT_FOUND", "ROW_NOT_FOUND"))
        self.assertEqual(line["out_bytes"], 0)

    def test_it_says_where_the_answer_came_from(self):
        self.links.CreateLink(links_pb2.CreateLinkRequest(title="one", content="https://example.org"))
        request = links_pb2.GetLinkRequest(title="one")
        told = []

        def twice():
            self.links.GetLink(request)
            told[:] = [line["cache"] for line in lines(self.server, "/GetLink")]
            return "hit" in told
        self.assertTrue(program.eventually(twice))
        self.assertIn("miss", told)

    def test_bytes_of_streams_are_counted(self):
        stream = self.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        answers = list(stream(iter([b"\x3a\x00", b"\x3a\x00"])))  # list_services
        line, = lines(self.server, "/ServerReflectionInfo")
        self.assertEqual(line["in_bytes"], 4)
        self.assertEqual(line["out_bytes"], sum(map(len, answers)))

    def test_without_the_flag_there_is_none(self):
        with program.Server("--log_format=json") as server, grpc.insecure_channel(server.grpc) as channel:
            channel.unary_unary("/twi.data.v1.QuotesService/CountQuotes")(b"")
            self.assertEqual(server.end(), 0)
            self.assertNotIn("CountQuotes", server.log())

    def test_a_level_that_hides_it_is_refused(self):
        result = program.run("serve", "--access_log", "--log_level=warning")
        self.assertEqual(result.returncode, 64)
        self.assertIn("--access_log", result.stderr)


if __name__ == "__main__":
    unittest.main()
