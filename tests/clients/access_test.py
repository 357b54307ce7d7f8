"""Each way in that does not lead in: who is not let in is told so, everybody else is served, and
nothing that is secret is told. The table of docs/security.md has a line for each."""

import contextlib
import signal
import socket
import ssl
import time
import unittest
import warnings

import grpc

import certificates
import guarded
import http2
import server as program
from guarded import bearer

EX_USAGE = 64
COUNT, GET, CREATE = (f"QuotesService/{name}" for name in ("CountQuotes", "GetQuote", "CreateQuote"))
IMPORT = "/twi.data.v1.MessagesService/ImportMessages"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
MESSAGES = "MessagesService/GetMessage"
ONE = b"\x08\x01"  # Of any request whose field 1 is a number: 1.
QUOTE = b"\x0a\x05Quote"

setUpModule = guarded.Guarded.set_up_module


class Tokens(guarded.Guarded):

    def test_none(self):
        with self.counted("CREDENTIALS_MISSING", 2):
            for method in COUNT, CREATE:
                self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_MISSING", self.call, method)

    def test_wrong(self):
        token = self.tokens["bot"].text
        wrong = [token[:-1], token + "x", token.swapcase(), "x", " ", "*", "a" * 4000,
                 self.tokens["bot"].line]
        self.guard.secrets.update(text for text in wrong if len(text) > 8)
        authorizations = [f"Bearer {text}" for text in wrong] + [
            "", "Bearer", f"Basic {token}", token, f"Bearer Bearer {token}"]
        stub = self.channel.unary_unary(f"/twi.data.v1.{COUNT}")
        with self.counted("CREDENTIALS_INVALID", len(authorizations)):
            for authorization in authorizations:
                with self.subTest(authorization=authorization[:30]):
                    self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", stub, b"",
                                        metadata=[("authorization", authorization)])

    def test_the_log_says_who_was_refused(self):
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", self.call, COUNT,
                            token="nobody's token")
        self.assert_refused("PERMISSION_DENIED", "NOT_GRANTED", self.call, GET, ONE,
                            token=self.tokens["counter"])

        def told(reason, *words):
            return program.eventually(lambda: any(
                reason in line and all(word in line for word in words)
                for line in self.server.log().splitlines()))

        self.assertTrue(told("CREDENTIALS_INVALID", "127.0.0.1"))
        self.assertTrue(told("NOT_GRANTED", '"principal":"counter"'))

    def test_revoked_while_connected(self):
        for sighup in True, False:
            with self.subTest(sighup=sighup):
                token = self.guard.token("bot")
                self.guard.lines.append(token.line)
                self.reload(sighup)
                self.assertTrue(program.eventually(lambda: self.admits(token)))
                self.guard.lines.remove(token.line)
                self.reload(sighup)
                self.assertTrue(program.eventually(lambda: not self.admits(token)))
                self.assertFalse(any(self.admits(token) for _ in range(50)))
                self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", self.call, COUNT,
                                    token=token)
                # His other one is still good.
                self.assert_served(channel=self.channel)

    def test_expired(self):
        past, future = self.guard.token("bot"), self.guard.token("bot")
        soon = self.guard.token("bot")
        now = time.time()
        lines = [past.expiring(now - 1), future.expiring(now + 3600), soon.expiring(now + 3)]
        self.guard.lines += lines
        self.reload()
        self.assertTrue(program.eventually(lambda: self.admits(future)))
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", self.call, COUNT, token=past)
        # It needs no reload for that.
        self.assertTrue(program.eventually(lambda: not self.admits(soon)))
        self.assertGreaterEqual(time.time(), int(now + 3))
        for line in lines:
            self.guard.lines.remove(line)
        self.reload()
        self.assertTrue(program.eventually(lambda: not self.admits(future)))

    def test_a_wrong_file_changes_nothing(self):
        for text, word in (("principal { name: ", "line 1"), ("no field", "line 1"),
                           ('principal { name: "bot" allow: "NoService/*" }', "NoService"),
                           (f'token {{ principal: "somebody" sha256: "{"0" * 64}" }}', "somebody")):
            with self.subTest(text=text):
                seen = len(self.server.log())
                self.guard.write(text)
                self.server.process.send_signal(signal.SIGHUP)
                self.assertTrue(program.eventually(lambda: word in self.server.log()[seen:]))
                self.assert_served(channel=self.channel)
                self.assertFalse(self.admits("made up"))
        self.reload()

    def test_an_unknown_method(self):
        for method in "QuotesService/NoSuchMethod", "NoSuchService/Get":
            self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_MISSING", self.call, method)
            self.assert_refused("UNIMPLEMENTED", "METHOD_UNKNOWN", self.call, method,
                                token=self.tokens["idle"])


class Certificates(guarded.Guarded):

    def presenting(self, *names, **options):
        """A channel with a certificate of these names."""
        return self.enterContext(
            self.guard.channel(self.server, self.guard.issue(*names, **options)))

    def test_known(self):
        for name in "DNS:bot.twi.internal", "URI:spiffe://twi/reader":
            channel = self.presenting("DNS:something.else", name)
            self.call(COUNT, channel=channel)
        self.assert_refused("PERMISSION_DENIED", "NOT_GRANTED", self.call, CREATE, QUOTE,
                            channel=channel)

    def test_nobody(self):
        with self.counted("CREDENTIALS_INVALID", 5):
            for name in ("DNS:stranger.twi.internal", "DNS:bot.twi.internal.example",
                         "URI:bot", "email:bot@twi.internal", "DNS:*.twi.internal"):
                with self.subTest(name=name):
                    self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", self.call, COUNT,
                                        channel=self.presenting(name))

    def test_another_authority_or_expired(self):
        folder = self.guard.folder / "other"
        folder.mkdir(exist_ok=True)
        other = certificates.Authority(folder)
        for options in {"authority": other}, {"expired": True}:
            with self.subTest(**options):
                # No token makes up for it: there is no connection.
                self.assert_refused("UNAVAILABLE", None, self.call, COUNT,
                                    token=self.tokens["bot"],
                                    channel=self.presenting("DNS:bot.twi.internal", **options))

    def test_signed_by_itself(self):
        folder = self.guard.folder / "self"
        folder.mkdir(exist_ok=True)
        pair = certificates.Authority(folder).make("self", "subjectAltName=DNS:bot.twi.internal")
        channel = self.enterContext(self.guard.channel(self.server, pair))
        self.assert_refused("UNAVAILABLE", None, self.call, COUNT, channel=channel)

    def test_without_tls(self):
        with grpc.insecure_channel(self.server.grpc) as channel:
            self.assert_refused("UNAVAILABLE", None, self.call, COUNT, token=self.tokens["bot"],
                                channel=channel)
        with socket.create_connection(self.server.http.split(":")) as page:
            page.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                self.assertNotIn(b"twi_data", page.recv(100))

    def test_old_tls(self):
        for address in self.server.grpc, self.server.http:
            context = self.guard.context("h2")
            # Python warns of it, and Debian's OpenSSL would have none of it either.
            with warnings.catch_warnings(action="ignore"):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with self.assertRaises(OSError):
                http2.connect(address, context)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            http2.connect(address, context).close()


class Grants(guarded.Guarded):

    def assert_not_granted(self, principal, method, request=b""):
        with self.counted("NOT_GRANTED", 1):
            found = self.assert_refused("PERMISSION_DENIED", "NOT_GRANTED", self.call, method,
                                        request, token=self.tokens[principal])
        self.assertEqual(found["ErrorInfo"].metadata["principal"], principal)

    def test_not_allowed(self):
        self.call(COUNT, token=self.tokens["counter"])
        self.assert_not_granted("counter", GET, ONE)
        self.assert_not_granted("counter", CREATE, QUOTE)
        self.assert_not_granted("idle", COUNT)

    def test_read_only(self):
        self.call(COUNT, token=self.tokens["reader"])
        before = self.call(COUNT, token=self.tokens["bot"])
        self.assert_not_granted("reader", CREATE, QUOTE)
        self.assert_not_granted("reader", "QuotesService/DeleteQuote", ONE)
        self.assertEqual(self.call(COUNT, token=self.tokens["bot"]), before)

    def test_administration(self):
        for method in "CacheService/InvalidateCache", "CacheService/ResetCacheStats":
            self.assert_not_granted("bot", method, ONE)
            self.call(method, ONE, token=self.tokens["operator"])
        self.call("CacheService/GetCacheStats", token=self.tokens["bot"])
        self.assert_not_granted("operator", COUNT)

    def reflect(self, token=None):
        """Asks which services there are."""
        stub = self.channel.stream_stream(REFLECTION)
        return list(stub(iter([b"\x3a\x01*"]), metadata=bearer(token) if token else None,
                         timeout=30))

    def test_reflection(self):
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_MISSING", self.reflect)
        self.assert_refused("UNAUTHENTICATED", "CREDENTIALS_INVALID", self.reflect, "wrong")
        self.assertIn(b"QuotesService", b"".join(self.reflect(self.tokens["idle"])))

    def test_health_is_open(self):
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        for metadata in None, bearer("wrong"):
            self.assertEqual(check(b"", metadata=metadata), b"\x08\x01")
        self.assertEqual(program.run(
            "health", f"--listen={self.server.grpc}", f"--http_listen={self.server.http}",
            f"--tls_certificate={self.guard.pair.certificate}",
            f"--tls_key={self.guard.pair.key}").returncode, 0)


class Limits(guarded.Guarded):

    def test_calls_per_second(self):
        begin = time.monotonic()
        token, served = self.tokens["hasty"], 0
        found = None
        while not found:
            try:
                self.call(COUNT, token=token)
                served += 1
            except grpc.RpcError as error:
                found = error
            self.assertLessEqual(served, 2 + time.monotonic() - begin)
        found = guarded.details(found)
        self.assertEqual(found["ErrorInfo"].reason, "RATE_LIMITED")
        delay = found["RetryInfo"].retry_delay
        self.assertTrue(0 < delay.seconds + delay.nanos / 1e9 <= 1, delay)
        # Nobody else waits for that, and who has waited is served.
        self.assert_served(channel=self.channel)
        time.sleep(delay.seconds + delay.nanos / 1e9)
        self.call(COUNT, token=token)

    def held(self):
        return program.metric(self.server, "grpc_server_in_flight", grpc_method="ImportMessages")

    def test_calls_in_flight(self):
        token = self.tokens["holder"]
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(
                http2.Connection(self.server.grpc, self.guard.context("h2")))
            streams = [connection.open(IMPORT, bearer(token)) for _ in range(2)]
            self.assertTrue(program.eventually(lambda: self.held() == 2))
            with self.counted("TOO_MANY_IN_FLIGHT", 2):
                self.assert_refused("RESOURCE_EXHAUSTED", "TOO_MANY_IN_FLIGHT", self.call,
                                    MESSAGES, ONE, token=token)
                third = self.channel.stream_unary(IMPORT)
                self.assert_refused("RESOURCE_EXHAUSTED", "TOO_MANY_IN_FLIGHT", third, iter([]),
                                    metadata=bearer(token))
            self.assert_served(channel=self.channel)
            connection.send(http2.frame(http2.RESET, 0, streams[0], b"\0\0\0\x08"))
            self.assertTrue(program.eventually(lambda: self.held() == 1))
            self.assert_refused("NOT_FOUND", "ROW_NOT_FOUND", self.call, MESSAGES, ONE, token=token)
        # A connection that is lost holds nothing.
        self.assertTrue(program.eventually(lambda: self.held() == 0))


class CommandLine(unittest.TestCase):

    def refused(self, *arguments, **environment):
        result = program.run("serve", *arguments, environment=environment)
        self.assertEqual(result.returncode, EX_USAGE, result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def test_beyond_loopback(self):
        self.assertIn("--insecure", self.refused("--listen=0.0.0.0:0", "--embedded_dir=/nowhere"))

    def test_a_password_on_the_command_line(self):
        for dsn in (f"host=/nowhere password={guarded.PASSWORD}",
                    f"postgresql://somebody:{guarded.PASSWORD}@localhost/x",
                    f"postgresql://localhost/x?password={guarded.PASSWORD}"):
            with self.subTest(dsn=dsn):
                told = self.refused(f"--dsn={dsn}")
                self.assertIn("TWI_DATA_DSN", told)
                self.assertNotIn(guarded.PASSWORD, told)

    def test_half_of_tls(self):
        for flags in (["--tls_certificate=/nowhere/tls.crt"], ["--tls_key=/nowhere/tls.key"],
                      ["--tls_client_ca=/nowhere/ca.crt"]):
            self.assertIn("tls_", self.refused(*flags, "--embedded_dir=/nowhere"))


if __name__ == "__main__":
    unittest.main()
