"""A way to PostgreSQL on which replication, and nothing else, is as slow as wanted."""

import contextlib
import queue
import socket
import threading
import time

CHUNK = 64 * 1024


class SlowStreams:
    """Listens on loopback, `port`, for a server's Unix socket. As a context it ends with it."""

    def __init__(self, server):
        self.server = server
        self.delay = 0
        self.rate = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.streams = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def slow(self, seconds, delay=0, rate=None):
        """For so long, what the server sends to a replication connection arrives `delay` seconds
        later, or no faster than `rate` bytes a second."""
        self.delay, self.rate = delay, rate
        time.sleep(seconds)
        self.delay, self.rate = 0, None

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.connect, args=[client], daemon=True).start()

    def connect(self, client):
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self.server)
            startup = client.recv(CHUNK)
            server.sendall(startup)
            answers = server.recv
            if b"\0replication\0" in startup:
                self.streams += 1
                answers = self.later(server)
            requests = threading.Thread(target=pump, args=[client.recv, server])
            requests.start()
            pump(answers, client)
            requests.join()

    def later(self, server):
        """The server's recv for what it sent `delay` ago."""
        sent = queue.SimpleQueue()

        def read():
            data = b"more"
            while data:
                data = received(server.recv)
                sent.put((time.monotonic(), data))

        def recv(_):
            at, data = sent.get()
            due = at + self.delay
            if self.rate is not None:
                due = max(due, time.monotonic() + len(data) / self.rate)
            time.sleep(max(0, due - time.monotonic()))
            return data

        threading.Thread(target=read, daemon=True).start()
        return recv


def received(recv):
    try:
        return recv(CHUNK)
    except OSError:
        return b""


def pump(recv, sink):
    """Passes on what comes, and the end of it."""
    with contextlib.suppress(OSError):
        while data := received(recv):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
