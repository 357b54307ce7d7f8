"""Calls and connections that are meant to do harm: whoever makes them is refused or waits alone,
everybody else is served, and they take no memory. The table of docs/security.md has a line for each."""

import contextlib
import unittest
import zlib

import grpc

import guarded
import http2
import server as program
from guarded import bearer

COUNT, GET, CREATE = (f"QuotesService/{name}" for name in ("CountQuotes", "GetQuote", "CreateQuote"))
METRIC = "BotMetricsService/CreateBotMetric"
MIB = 1 << 20
# Far less than what is sent, and more than what a server has at one time and another.
MEMORY = 32 * MIB
CONNECTIONS = 50

setUpModule = guarded.Guarded.set_up_module


def varint(number):
    """As protobuf has it."""
    head = b""
    while number >= 128:
        head, number = head + bytes([number % 128 + 128]), number // 128
    return head + bytes([number])


def nested(levels):
    """A google.protobuf.Value that is a list of a list of a list."""
    parts, size = [b"\x1a\x01x"], 3
    for _ in range(levels):
        for tag in b"\x0a", b"\x32":  # ListValue.values, Value.list_value
            parts.append(tag + varint(size))
            size += len(parts[-1])
    return b"".join(reversed(parts))


class Messages(guarded.Guarded):

    def setUp(self):
        self.token = self.tokens["bot"]
        # It takes memory for the first time.
        self.assert_served()
        self.before = self.memory()

    def assert_small(self, bound=MEMORY):
        self.assertTrue(program.eventually(lambda: self.memory() - self.before < bound),
                        f"{self.memory() - self.before} of {bound}")

    def connection(self, **options):
        return http2.Connection(self.server.grpc, self.guard.context("h2"), **options)

    def ending(self, connection, message, *metadata, method=COUNT, flags=http2.END_STREAM):
        """Makes a call by hand; how it ends."""
        try:
            stream = connection.open(f"/twi.data.v1.{method}", bearer(self.token) + list(metadata))
        except OSError:
            return "closed"
        connection.upload(stream, message, flags)
        return connection.end(stream)

    def test_oversized(self):
        for method in GET, CREATE:
            self.assert_refused("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE", self.call, method,
                                b"\0" * (5 * MIB), token=self.token)

    def test_a_field_of_100_mb(self):
        size = 100_000_000
        request = b"\x0a" + varint(size) + b"x" * size
        # By gRPC itself, which does not know our reasons. The memory serves again.
        for _ in range(3):
            self.assert_refused("RESOURCE_EXHAUSTED", None, self.call, CREATE, request,
                                token=self.token)
            self.before = max(self.before, min(self.memory(), self.before + size))
        # Of who may not call nothing is read.
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_MISSING", self.call, CREATE, request)
        self.assert_small()
        # It only says that it is so large.
        self.assert_refused("INVALID_ARGUMENT", "REQUEST_MALFORMED", self.call, CREATE,
                            request[:100], token=self.token)

    def test_a_message_that_says_it_is_large(self):
        for size in 100_000_000, (1 << 32) - 1:
            with self.subTest(size=size), self.connection() as connection:
                # It waits for the rest until its deadline.
                self.assertEqual(self.ending(
                    connection, http2.message(b"x", size=size), ("grpc-timeout", "500m"),
                    method=CREATE, flags=0), "DEADLINE_EXCEEDED")
        self.assert_small()

    def test_deep_nesting(self):
        value = nested(10_000)
        request = b"\x12\x01x\x1a" + varint(len(value)) + value
        self.assert_refused("INVALID_ARGUMENT", "REQUEST_MALFORMED", self.call, METRIC, request,
                            token=self.token)
        # Groups of a field that nobody knows.
        self.assert_refused("INVALID_ARGUMENT", "REQUEST_MALFORMED", self.call, GET,
                            b"\x53" * 10_000 + b"\x54" * 10_000, token=self.token)
        value = nested(20)
        self.call(METRIC, b"\x12\x01x\x1a" + varint(len(value)) + value, token=self.token)
        self.assert_small()

    def test_huge_metadata(self):
        for metadata in [("x-huge", "x" * 100_000)], [(f"x-{n}", "x" * 100) for n in range(1000)]:
            # The server has said how much it takes, and ends the connection of who does not care.
            with self.connection() as connection:
                self.assertIn(self.ending(connection, http2.message(b""), *metadata),
                              ("RESOURCE_EXHAUSTED", "reset", "closed"))
        self.assert_small()

    def test_metadata_without_end(self):
        part = http2.field("x-more", "x" * 16_000)
        with self.connection(confirm=False) as connection, contextlib.suppress(OSError):
            connection.send(http2.frame(http2.HEADERS, 0, 1, http2.request(f"/twi.data.v1.{COUNT}")))
            for _ in range(4000):
                connection.send(http2.frame(http2.CONTINUATION, 0, 1, part))
        self.assert_small()

    def test_compressed(self):
        for algorithm, bits in ("gzip", 31), ("deflate", 15):
            # 100 kB on the way.
            bomb = zlib.compress(bytes(100_000_000), wbits=bits)
            with self.subTest(algorithm=algorithm), self.connection() as connection:
                self.assertEqual(self.ending(
                    connection, http2.message(bomb, compressed=True),
                    ("grpc-encoding", algorithm), method=CREATE), "UNIMPLEMENTED")
        self.assert_small()

    def test_two_messages(self):
        before = self.call(COUNT, token=self.token)
        call = self.channel.stream_unary(f"/twi.data.v1.{CREATE}")
        message = b"\x0a\x05Twice"
        self.assert_refused("UNIMPLEMENTED", "CALL_REFUSED", call, iter([message, message]),
                            metadata=bearer(self.token))
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_MISSING", call,
                            iter([message, message]))
        self.assertEqual(self.call(COUNT, token=self.token), before)

    def test_calls_begun_and_reset(self):
        frames = []
        for stream in range(1, 20_000, 2):
            block = http2.request(f"/twi.data.v1.{COUNT}", bearer(self.token))
            frames += [http2.frame(http2.HEADERS, http2.END_HEADERS, stream, block),
                       http2.frame(http2.RESET, 0, stream, b"\0\0\0\x08")]
        with self.connection() as connection, contextlib.suppress(OSError):
            connection.send(b"".join(frames))
            self.assert_served()
        self.assertTrue(program.eventually(lambda: program.metric(
            self.server, "grpc_server_in_flight", grpc_method="CountQuotes") == 0, 60))
        self.assert_small(4 * MEMORY)


class Slow(guarded.Guarded):
    """Connections that never get anywhere, many of them."""

    def hold(self, address, beginning, tls=None):
        """Opens connections that send the beginning and then a byte now and then."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(http2.connect(address, tls))
                           for _ in range(CONNECTIONS)]
            for data in beginning[:-3], *(bytes([byte]) for byte in beginning[-3:]):
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.sendall(data)
                yield

    def headers(self, whole=False):
        """Up to the middle of the header fields of a call."""
        block = http2.request(f"/twi.data.v1.{COUNT}", bearer(self.tokens["bot"]))
        begun = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + http2.frame(
            http2.HEADERS, http2.END_HEADERS, 1, block)
        return begun if whole else begun[:-len(block) // 2]

    def test_grpc(self):
        for beginning in http2.PREFACE[:8], self.headers(), self.headers(whole=True):
            for _ in self.hold(self.plain.grpc, beginning):
                with grpc.insecure_channel(self.plain.grpc, [
                        ("grpc.use_local_subchannel_pool", 1)]) as channel:
                    self.call(COUNT, channel=channel)

    def test_grpc_with_tls(self):
        # A ClientHello's record, and less than that.
        for beginning in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\x16\x03\x01", http2.PREFACE[:8]:
            for _ in self.hold(self.server.grpc, beginning):
                self.assert_served()
        for beginning in http2.PREFACE[:8], self.headers(), self.headers(whole=True):
            for _ in self.hold(self.server.grpc, beginning, self.guard.context("h2")):
                self.assert_served()

    def test_pages(self):
        for beginning in b"GET", b"GET /livez HTTP/1.1\r\nHost: ":
            for _ in self.hold(self.plain.http, beginning):
                self.assertEqual(program.get(self.plain, "/livez")[0], 200)
            for tls in None, self.guard.context():
                for _ in self.hold(self.server.http, beginning, tls):
                    self.assertEqual(program.get(self.server, "/livez")[0], 200)


class Pages(guarded.Guarded):
    """What the HTTP port is asked that has no page of that name."""

    def ask(self, request):
        """Sends bytes; the status of the answer, None if there is none, and all of it."""
        with http2.connect(self.server.http, self.guard.context()) as connection:
            answer = b""
            with contextlib.suppress(OSError):
                connection.sendall(request)
            with contextlib.suppress(OSError):
                while data := connection.recv(1 << 16):
                    answer += data
        status = int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else None
        return status, answer

    def asked(self, method, target, headers="", body=""):
        return self.ask(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                        f"{headers}\r\n{body}".encode())

    def test_paths(self):
        for target in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
                       "/metrics/../../../../etc/passwd", "/metrics/..%2f..%2fetc/passwd",
                       "/..\\..\\etc\\passwd", "/etc/passwd", "file:///etc/passwd", "//metrics",
                       "/metrics/", "/METRICS", "/metrics%00", "/metrics%00.html", "/.", "/",
                       "/metrics%0d%0aX-Injected:%201", "/twi.data.v1.QuotesService/CountQuotes",
                       "*", "livez", "/" + "a/" * 3000):
            with self.subTest(target=target[:40]):
                status, answer = self.asked("GET", target)
                self.assertIn(status, (400, 404))
                for word in b"root:", b"X-Injected", b"grpc_server":
                    self.assertNotIn(word, answer)
        # What follows a question mark is not part of the path.
        self.assertEqual(self.asked("GET", "/livez?a=/../..")[0], 200)

    def test_methods(self):
        for method in "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "NOTHING":
            with self.subTest(method=method):
                status, answer = self.asked(method, "/metrics", "Content-Length: 0\r\n")
                self.assertIn(status, (400, 404, 405))
                self.assertNotIn(b"grpc_server", answer)

    def test_too_large(self):
        for headers, body, statuses in (
                (f"X-Large: {'x' * 100_000}\r\n", "", (400, 414, 431)),
                ("X-Many: x\r\n" * 100_000, "", (400, 414, 431)),
                ("Content-Length: 100000000000\r\n", "x" * 100_000, (400, 404, 413)),
                ("Content-Length: -1\r\n", "x", (400, 404, 413)),
                ("Transfer-Encoding: chunked\r\n", "fffffffff\r\n" + "x" * 100_000,
                 (400, 404, 413))):
            with self.subTest(headers=headers[:40]):
                before = self.memory()
                # Who still sends when the answer comes and the connection ends may not get it.
                self.assertIn(self.asked("GET", "/livez", headers, body)[0], (*statuses, None))
                self.assertLess(self.memory() - before, MEMORY)
        self.assertIn(self.asked("GET", "/" + "a" * 100_000)[0], (414, None))

    def test_what_is_not_http(self):
        for data in (b"\0" * 1000 + b"\r\n\r\n", b"GET /metrics\r\n\r\n", http2.PREFACE,
                     b"GET /metrics HTTP/1.1\0\r\n\r\n", b"\r\n" * 1000,
                     self.tokens["bot"].text.encode() + b"\r\n\r\n"):
            with self.subTest(data=data[:20]):
                status, answer = self.ask(data)
                self.assertIn(status, (400, 404, None))
                self.assertNotIn(b"grpc_server", answer)
        self.assertEqual(program.get(self.server, "/livez")[0], 200)


if __name__ == "__main__":
    unittest.main()
