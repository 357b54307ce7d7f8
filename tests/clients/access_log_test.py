"""The log of calls, where it is asked for, and the level of the log."""

import json
import os
import signal
import tempfile
import time
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


class LevelFile(unittest.TestCase):

    def setUp(self):
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "level")

    def write(self, text):
        with open(self.path, "w") as file:
            file.write(text)

    def test_the_level_changes_with_the_file(self):
        self.write("error\n")
        with program.Server("--log_format=json", f"--log_level_file={self.path}") as server, \
                grpc.insecure_channel(server.grpc) as channel:
            quotes = quotes_pb2_grpc.QuotesServiceStub(channel)

            def told():
                """Whether the mistake of a caller has a line, as at the level of debug."""
                with self.assertRaises(grpc.RpcError):
                    quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=987654))
                return bool(lines(server, "/GetQuote"))
            self.assertNotIn('"level":"info"', server.log())
            self.write("debug")
            server.process.send_signal(signal.SIGHUP)
            self.assertTrue(program.eventually(told))
            # What is wrong is told, and changes nothing.
            for text in "loud", "":
                seen = len(server.log())
                self.write(text)
                server.process.send_signal(signal.SIGHUP)
                self.assertTrue(program.eventually(
                    lambda: "does not hold one of debug, info" in server.log()[seen:]))
                seen = len(server.log())
                with self.assertRaises(grpc.RpcError):
                    quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=987654))
                self.assertTrue(program.eventually(lambda: "GetQuote" in server.log()[seen:]))
            # It is seen without a signal, too.
            self.write("warning")
            self.assertTrue(program.eventually(lambda: self.is_silent(server, quotes)))

    def is_silent(self, server, quotes):
        seen = len(server.log())
        with self.assertRaises(grpc.RpcError):
            quotes.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=987654))
        time.sleep(0.3)  # It would come after the answer.
        return "GetQuote" not in server.log()[seen:]

    def test_a_wrong_file_is_refused(self):
        for text, told in ((None, "cannot be read"), ("loud", "does not hold one of")):
            with self.subTest(text=text):
                if text is not None:
                    self.write(text)
                result = program.run("serve", f"--log_level_file={self.path}")
                self.assertEqual(result.returncode, 78)
                self.assertIn(told, result.stderr)


if __name__ == "__main__":
    unittest.main()
