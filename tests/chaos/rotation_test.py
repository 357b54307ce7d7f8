"""Tokens and certificates are replaced under load, and no caller who has the current ones notices.

As often as promised, and its figures: TWI_TEST_ROTATIONS=100."""

import itertools
import os
import queue
import signal
import socket
import ssl
import threading
import time
import unittest

import grpc
from twi.data.v1 import messages_pb2, messages_pb2_grpc, quotes_pb2_grpc

import guarded
import load
import server as program

ROTATIONS = int(os.environ.get("TWI_TEST_ROTATIONS", 5))
BY_TOKEN, BY_CERTIFICATE = 4, 2
# Calls of a caller until it connects anew.
CALLS = 100
NAMES = [f"caller-{n}" for n in range(BY_TOKEN)]
PRINCIPALS = "\n".join(f'principal {{ name: "{name}" allow: "*" }}' for name in NAMES) + """
principal { name: "service" allow: "*" certificate: "spiffe://twi/service" }
"""


class Caller(load.Caller):
    """Connects anew now and then, with the token or the certificate that it has been given last."""

    def __init__(self, name, connect):
        self.connect = connect
        self.channel = connect()
        self.connections = 1
        super().__init__(name, self.channel)

    def run(self, stopping):
        super().run(stopping)
        self.channel.close()

    def call(self, method, **fields):
        if len(self.answers) % CALLS == CALLS - 1:
            self.channel.close()
            self.reconnect()
        return super().call(method, **fields)

    def reconnect(self):
        self.channel = self.connect()
        self.stub = quotes_pb2_grpc.QuotesServiceStub(self.channel)
        self.connections += 1


class Callers(load.Load):

    def __init__(self, callers):
        self.callers = callers

    def all_called(self):
        """Waits until each caller has made calls that began after this."""
        begin = time.monotonic()
        return program.eventually(lambda: all(
            caller.answers and caller.answers[-1].begin > begin for caller in self.callers), 60)


class Thief:
    """Tries revoked tokens for as long as the context lasts. `refused` and `served` count."""

    def __init__(self, channel):
        self.call = channel.unary_unary("/twi.data.v1.QuotesService/CountQuotes")
        self.tokens = []
        self.refused = 0
        self.served = 0
        self.wrong = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def admits(self, token):
        try:
            self.call(b"", metadata=guarded.bearer(token), timeout=30)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                self.wrong.append(error)
            return False
        return True

    def run(self):
        for turn in itertools.count():
            if self.stopping.wait(0.002):
                return
            if not self.tokens:
                continue
            # The last ones more often than those that are long gone.
            token = self.tokens[-1 - turn % min(len(self.tokens), 8 if turn % 4 else 1 << 20)]
            if self.admits(token):
                self.served += 1
            else:
                self.refused += 1


def message(number):
    request = messages_pb2.ImportMessagesRequest()
    request.message.message_id = number
    request.message.created_at.FromSeconds(number)
    request.message.server_id = request.message.channel_id = request.message.user_id = 1
    return request


class Rotation(unittest.TestCase):

    def setUp(self):
        self.guard = self.enterContext(guarded.Guard(PRINCIPALS, NAMES))
        self.current = dict(self.guard.tokens)
        self.certificate = self.guard.issue("URI:spiffe://twi/service")
        self.server = program.Server(*self.guard.flags())
        self.server.tls = self.guard.context()
        self.enterContext(self.server)

    def by_token(self, name):
        return Caller(name, lambda: self.guard.channel(
            self.server, token=lambda: self.current[name]))

    def by_certificate(self, name):
        return Caller(name, lambda: self.guard.channel(self.server, self.certificate))

    def served_certificate(self, address):
        """The certificate that a new connection is shown."""
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as plain:
            with self.guard.context("h2").wrap_socket(plain, server_hostname=host) as connection:
                return connection.getpeercert(binary_form=True)

    def rotate_tokens(self, callers, thief, sighup):
        before = dict(self.current)
        following = {name: self.guard.token(name) for name in NAMES}

        def reload(tokens):
            self.guard.lines = [token.line for token in tokens]
            self.guard.write()
            if sighup:
                self.server.process.send_signal(signal.SIGHUP)

        reload([*before.values(), *following.values()])
        for token in following.values():
            self.assertTrue(program.eventually(lambda: thief.admits(token)))
        self.current.update(following)
        self.assertTrue(callers.all_called())
        reload(following.values())
        # From the first refusal on that is known, and all of them are revoked at once.
        self.assertTrue(program.eventually(lambda: not thief.admits(before[NAMES[0]])))
        thief.tokens += before.values()

    def rotate_certificates(self):
        self.guard.publish()
        self.certificate = self.guard.issue("URI:spiffe://twi/service")
        expected = ssl.PEM_cert_to_DER_cert(self.guard.pair.certificate.read_text())
        for address in self.server.grpc, self.server.http:
            self.assertTrue(program.eventually(
                lambda: self.served_certificate(address) == expected, 20), address)

    def test_no_caller_notices(self):
        callers = Callers([self.by_token(name) for name in NAMES] + [
            self.by_certificate(f"service-{n}") for n in range(BY_CERTIFICATE)])
        thief = Thief(self.enterContext(self.guard.channel(self.server)))
        messages = queue.SimpleQueue()
        self.addCleanup(messages.put, None)
        # One call that lasts for as long as all of it.
        stream = messages_pb2_grpc.MessagesServiceStub(self.enterContext(
            self.guard.channel(self.server, self.certificate))).ImportMessages.future(
                iter(messages.get, None), timeout=36_000)
        with thief, callers:
            self.assertTrue(callers.all_called())
            for n in range(ROTATIONS):
                messages.put(message(n + 1))
                self.rotate_tokens(callers, thief, sighup=n % 2 == 0)
                self.rotate_certificates()
                self.assertEqual(thief.served, 0)
            tried = thief.refused
            self.assertTrue(program.eventually(lambda: thief.refused > tried + 20))
        messages.put(None)
        self.assertEqual(stream.result(30).created, ROTATIONS)

        print(f"{ROTATIONS} rotations of tokens and of certificates: {len(callers.answers())} calls "
              f"on {sum(caller.connections for caller in callers.callers)} connections, "
              f"{thief.refused} by revoked tokens\n{callers.summary()}", flush=True)
        self.assertEqual([answer for answer in callers.answers() if not answer.ok], [])
        self.assertEqual(callers.check_rows(self, self.server.dsn), (0, 0))
        self.assertEqual((thief.served, thief.wrong), (0, []))
        self.assertGreater(thief.refused, 20)
        log = self.server.log()
        self.assertEqual([secret for secret in self.guard.secrets if secret in log], [])
        self.assertEqual(self.server.end(), 0)


if __name__ == "__main__":
    unittest.main()
