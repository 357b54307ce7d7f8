"""HTTP/2 by hand: connections that do what no client's library does."""

import contextlib
import re
import socket
import struct

import grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}
# Frames that everybody has to take, and bytes that may be sent to who has said nothing else.
LARGEST_FRAME, FIRST_WINDOW = 16384, 65535


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def string(text):
    """As HPACK has it: its length, 7 bits of which are in the first byte; not compressed."""
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    head, size = b"\x7f", size - 127
    while size >= 128:
        head, size = head + bytes([size % 128 + 128]), size // 128
    return head + bytes([size]) + text


def field(name, value):
    return b"\0" + string(name.encode()) + string(value.encode())


def request(path, metadata=()):
    """The block of header fields of a gRPC call."""
    return b"".join(field(*pair) for pair in (
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
        ("content-type", "application/grpc"), ("te", "trailers"), *metadata))


def message(data, compressed=False, size=None):
    """A message of gRPC; it may say another size than it has."""
    return struct.pack("!BI", compressed, len(data) if size is None else size) + data


def connect(address, tls=None):
    """A socket; with a context of TLS the handshake is done, too."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    return tls.wrap_socket(connection, server_hostname=host) if tls else connection


class Connection:
    """As a context it is closed at the end. Frames that the server sends are read when somebody asks for
    them, and not before. The server holds nobody to its settings who has not confirmed them."""

    def __init__(self, address, tls=None, confirm=True):
        self.socket = connect(address, tls)
        self.reader = self.socket.makefile("rb")
        self.streams = 0
        self.ends = {}
        self.first_window = FIRST_WINDOW
        # What may be sent, on the connection (0) and on streams.
        self.windows = {0: FIRST_WINDOW}
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        if confirm:
            next(kind for kind, *_ in self.frames() if kind == SETTINGS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def open(self, path, metadata=(), flags=0):
        """Begins a call; the number of its stream."""
        stream = 2 * self.streams + 1
        self.streams += 1
        self.windows[stream] = self.first_window
        block = request(path, metadata)
        parts = [block[at:at + LARGEST_FRAME] for at in range(0, len(block), LARGEST_FRAME)]
        frames = [frame(CONTINUATION if at else HEADERS, flags if at == 0 else 0, stream, part)
                  for at, part in enumerate(parts)]
        last = bytearray(frames[-1])
        last[4] |= END_HEADERS
        self.send(b"".join(frames[:-1]) + last)
        return stream

    def upload(self, stream, data, flags=0):
        """Sends data, as much as the server wants at a time. False when the stream or the connection
        ends before all is sent, or when the server has wanted nothing for a while."""
        data = memoryview(data)
        with contextlib.suppress(OSError, StopIteration):
            while data and stream not in self.ends:
                room = min(self.windows[0], self.windows[stream], LARGEST_FRAME)
                if room <= 0:
                    next(self.frames())
                    continue
                part, data = data[:room], data[room:]
                self.windows[0] -= len(part)
                self.windows[stream] -= len(part)
                self.send(frame(DATA, flags if not data else 0, stream, part))
        return not data

    def frames(self):
        """What the server sends, until it closes the connection. Its settings are confirmed."""
        while len(head := self.reader.read(9)) == 9:
            size = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack("!BBI", head[3:])
            payload = self.reader.read(size)
            if kind == SETTINGS and not flags & ACK:
                self.apply(payload)
                self.send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.send(frame(PING, ACK, 0, payload))
            elif kind == WINDOW:
                self.windows[stream] = self.windows.get(stream, 0) + int.from_bytes(payload, "big")
            elif kind == HEADERS:
                if status := re.search(rb"\x0bgrpc-status[\x01\x02](\d+)", payload):
                    self.ends[stream] = STATUSES[int(status[1])]
            elif kind == RESET:
                self.ends.setdefault(stream, "reset")
            yield kind, flags, stream, payload

    def apply(self, settings):
        for number, value in struct.iter_unpack("!HI", settings):
            if number == 4:
                for stream in self.windows:
                    self.windows[stream] += value - self.first_window if stream else 0
                self.first_window = value

    def end(self, stream):
        """How the stream ends: the name of its status, `reset`, or `closed` with the connection.

        A status is read only of the first call that a connection ends: later ones may refer to it."""
        with contextlib.suppress(OSError, StopIteration):
            while stream not in self.ends:
                next(self.frames())
        return self.ends.get(stream, "closed")
