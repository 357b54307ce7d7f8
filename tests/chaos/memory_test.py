"""Streams that nobody uses, readers that do not read and writers that do not end: what they cost the
server is bounded, it gets that back, and everybody else is served.

As many as promised: TWI_TEST_STREAMS=10000."""

import contextlib
import os
import time
import unittest

import grpc

import guarded
import http2
import server as program
from guarded import bearer

STREAMS = int(os.environ.get("TWI_TEST_STREAMS", 1000))
STREAMS_PER_CONNECTION = 50
SLOW = max(20, STREAMS // 50)
IMPORT, STREAM = (f"/twi.data.v1.MessagesService/{name}" for name in (
    "ImportMessages", "StreamMessages"))
CREATE = "/twi.data.v1.QuotesService/CreateQuote"
WATCH = "/grpc.health.v1.Health/Watch"
KIB, MIB = 1 << 10, 1 << 20
# What may be held: by an idle stream with its part of a connection, by a reader and by a writer that
# do not go on, and for good by a second round of the same.
OF_STREAM, OF_READER, OF_WRITER, AGAIN = 64 * KIB, 4 * MIB, 2 * MIB, 16 * MIB
# What all calls may hold, and what memory has beside that.
BUFFERS, BESIDE = 256 * MIB, 64 * MIB
PRINCIPALS = 'principal { name: "bot" allow: "*" }\n'
# A channel of 10 MB.
ROWS = 5000
FILL = f"""
insert into servers (server_id, server_name) values (1, 'Inn');
insert into users (user_id, username) values (3, 'erin');
insert into messages (message_id, created_at, content, server_id, server_name, channel_id, user_id,
                      jump_url, is_bot)
select n, now(), repeat(md5(n::text), 60), 1, 'Inn', 2, 3, '', false
from generate_series(1, {ROWS}) n
"""


class Memory(guarded.Guarded):

    @classmethod
    def setUpClass(cls):
        cls.guard = cls.enterClassContext(guarded.Guard(PRINCIPALS, ["bot"]))
        cls.tokens = cls.guard.tokens
        cls.server = cls.enterClassContext(program.Server(*cls.guard.flags(tls=False)))
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        program.query(cls.server.dsn, FILL)

    def connections(self, stack, streams):
        """Connections for so many streams."""
        return [stack.enter_context(http2.Connection(self.server.grpc))
                for _ in range(-(-streams // STREAMS_PER_CONNECTION))]

    def in_flight(self, method):
        return program.metric(self.server, "grpc_server_in_flight",
                              grpc_method=method.rpartition("/")[2])

    def hold(self, counts, begin, while_held=lambda: None):
        """Has `begin` open streams; counts are those of each method then. Twice; what a stream costs,
        the first time and the second, and what stays."""
        streams = sum(counts.values())
        before = self.memory()
        peaks = []
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                begin(stack)
                for method, count in counts.items():
                    self.assertTrue(program.eventually(
                        lambda: self.in_flight(method) == count, 60),
                        f"{method}: {self.in_flight(method)} of {count}")
                while_held()
                for _ in range(20):
                    self.assert_served(channel=self.channel)
                self.assert_served()
                peaks.append(self.memory())
            for method in counts:
                self.assertTrue(program.eventually(lambda: self.in_flight(method) == 0, 60))
        print(f"{streams} streams: {(peaks[0] - before) / streams / KIB:.1f} KiB each, again "
              f"{(peaks[1] - before) / streams / KIB:.1f}; of {before / MIB:.0f} MiB "
              f"{self.memory() / MIB:.0f} MiB are left", flush=True)
        self.assertLess(peaks[1] - peaks[0], AGAIN)
        return (max(peaks) - before) / streams

    def test_idle_streams(self):
        half = STREAMS // 2

        def begin(stack):
            for number, connection in enumerate(self.connections(stack, 2 * half)):
                for _ in range(min(STREAMS_PER_CONNECTION, 2 * half)):
                    if number % 2:
                        connection.open(IMPORT, bearer(self.tokens["bot"]))
                    else:
                        connection.upload(connection.open(WATCH), http2.message(b""),
                                          http2.END_STREAM)

        self.assertLess(self.hold({IMPORT: half, WATCH: half}, begin), OF_STREAM)

    def test_slow_readers(self):
        def begin(stack):
            for _ in range(SLOW):
                connection = stack.enter_context(http2.Connection(self.server.grpc))
                stream = connection.open(STREAM, bearer(self.tokens["bot"]))
                # Of channel 2; the window that HTTP/2 begins with is all that the server gets.
                connection.upload(stream, http2.message(b"\x08\x02"), http2.END_STREAM)

        self.assertLess(self.hold({STREAM: SLOW}, begin, self.settle), OF_READER)

    def test_slow_writers(self):
        part = http2.message(b"\0" * (4 * MIB - 100), size=4 * MIB)[:MIB]
        connections = []

        def begin(stack):
            for method in IMPORT, CREATE:
                for _ in range(SLOW):
                    connection = stack.enter_context(http2.Connection(self.server.grpc))
                    connections.append(connection)
                    stream = connection.open(method, bearer(self.tokens["bot"]))
                    # A quarter of a message, and nothing more.
                    self.assertTrue(connection.upload(stream, part))

        self.assertLess(self.hold({IMPORT: SLOW}, begin, self.settle), OF_WRITER)

    def test_unending_messages(self):
        # Larger than any that is taken; gRPC would know that once it has all of it.
        part = http2.message(bytes(30 * MIB), size=100 * MIB)
        before = self.memory()
        for method in IMPORT, CREATE:
            with contextlib.ExitStack() as stack:
                for _ in range(12):
                    connection = stack.enter_context(http2.Connection(self.server.grpc))
                    connection.socket.settimeout(1)
                    connection.upload(connection.open(method, bearer(self.tokens["bot"])), part)
                    self.assertLess(self.memory() - before, BUFFERS + BESIDE)
                # Who comes now is served, and who was there before.
                self.assert_served(channel=self.channel)
                self.assert_served()
            self.assertTrue(program.eventually(lambda: self.in_flight(IMPORT) == 0, 60))

    def settle(self):
        """Waits until the server takes no more memory."""
        last = 0
        while (now := self.memory()) > last:
            last = now
            time.sleep(0.5)


if __name__ == "__main__":
    unittest.main()
