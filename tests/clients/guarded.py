"""A server that lets in whom it knows: its certificates, its access file, and those who call it."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import ssl
import tempfile
import unittest

import grpc
from quotes_test import details

import certificates
import server as program

PRINCIPALS = """
principal { name: "bot" allow: "*" certificate: "bot.twi.internal" }
principal { name: "counter" allow: "QuotesService/Count*" }
principal { name: "reader" allow: "*" read_only: true certificate: "spiffe://twi/reader" }
principal { name: "operator" allow: "CacheService/*" administration: true }
principal { name: "hasty" allow: "*" calls_per_second: 1 }
principal { name: "holder" allow: "MessagesService/*" calls_in_flight: 2 }
principal { name: "idle" }
"""
NAMES = re.findall(r'name: "(\w+)"', PRINCIPALS)
# It stands in the DSN; the database asks for none.
PASSWORD = "5wordf1sh-in-the-dsn"


@dataclasses.dataclass
class Token:
    """A token, and its line in the access file."""
    text: str
    line: str

    def expiring(self, time):
        """The line of the same token with an expire time, in seconds since 1970."""
        return re.sub(r" *}\s*$", f" expire_time {{ seconds: {int(time)} }} }}", self.line)


def new_token(principal):
    """What `twi-data token new` makes."""
    done = program.run("token", "new", principal)
    assert done.returncode == 0, done.stderr
    text, line = done.stdout.splitlines()
    return Token(text, line)


class Guard:
    """The files of a guarded server, in a folder of its own; as a context they are removed at the end.

    `authority` signs the server's certificate and those of clients. `tokens` are the first of each
    principal, `lines` those that the access file holds. Whatever must never be told is in `secrets`."""

    def __init__(self, principals=PRINCIPALS, names=NAMES):
        self.principals = principals
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="twi-guard."))
        self.folder.chmod(0o755)
        self.secrets = {PASSWORD}
        self.authority = certificates.Authority(self.folder)
        self.file = self.folder / "access.textproto"
        self.tls = self.folder / "tls"
        self.tls.mkdir()
        self.pair = self.publish()
        self.tokens = {name: self.token(name) for name in names}
        self.lines = [token.line for token in self.tokens.values()]
        self.write()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def token(self, principal):
        token = new_token(principal)
        self.secrets.add(token.text)
        return token

    def issue(self, *names, authority=None, **options):
        pair = (authority or self.authority).issue(*names, **options)
        for file in pair:
            self.secrets.update(certificates.body(file))
        return pair

    def publish(self):
        """A new certificate for the server."""
        return certificates.publish(self.tls, self.issue("DNS:localhost", "IP:127.0.0.1"))

    def write(self, text=None):
        """Replaces the access file, at once as a whole."""
        following = self.folder / "access.following"
        following.write_text(self.principals + "\n".join(self.lines) if text is None else text)
        os.replace(following, self.file)

    def flags(self, tls=True):
        return [f"--access_file={self.file}", *([
            f"--tls_certificate={self.pair.certificate}", f"--tls_key={self.pair.key}",
            f"--tls_client_ca={self.authority.pair.certificate}"] if tls else [])]

    def context(self, *protocols):
        """A context of TLS for clients that are not gRPC's."""
        context = ssl.create_default_context(cafile=self.authority.pair.certificate)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def channel(self, server, pair=None, token=None):
        """A channel with a connection of its own. Its calls bring the token that `token` returns."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        if not server.tls:
            return grpc.insecure_channel(server.grpc, options)
        files = [self.authority.pair.certificate, *((pair.key, pair.certificate) if pair else ())]
        credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
        if token:
            credentials = grpc.composite_channel_credentials(
                credentials, grpc.metadata_call_credentials(
                    lambda _, callback: callback(bearer(token()), None)))
        return grpc.secure_channel(server.grpc, credentials, options)


def bearer(token):
    return [("authorization", f"Bearer {token.text if isinstance(token, Token) else token}")]


class Guarded(unittest.TestCase):
    """Tests of a guarded server, which stays the same for all of a module. After each, it still serves
    all whom it served, and it has told nobody what is secret.

    Its database is that of `plain`, which knows neither access nor TLS."""

    @classmethod
    def set_up_module(cls):
        cls.plain = unittest.enterModuleContext(program.Server())
        cls.guard = unittest.enterModuleContext(Guard())
        cls.server = program.Server(*cls.guard.flags(), environment={
            "TWI_DATA_DSN": f"{cls.plain.dsn} password={PASSWORD}"})
        cls.server.tls = cls.guard.context()
        unittest.enterModuleContext(cls.server)
        cls.channel = unittest.enterModuleContext(cls.guard.channel(cls.server))
        cls.tokens = cls.guard.tokens

    def tearDown(self):
        self.assertIsNone(self.server.process.poll())
        self.assert_served(channel=self.channel)
        self.assert_served()
        told = self.server.log() + "".join(
            program.get(self.server, page)[1] for page in ("/metrics", "/statusz", "/readyz"))
        self.assertEqual([secret for secret in self.guard.secrets if secret in told], [])

    def call(self, method, request=b"", token=None, channel=None, timeout=30, **options):
        """Calls a method of ours with bytes, by a channel that may have a certificate."""
        stub = (channel or self.channel).unary_unary(f"/twi.data.v1.{method}")
        return stub(request, metadata=bearer(token) if token else None, timeout=timeout, **options)

    def assert_served(self, token=None, channel=None):
        """The bot, or who else has the token, is answered; on a new connection if no channel is given."""
        with contextlib.ExitStack() as stack:
            channel = channel or stack.enter_context(self.guard.channel(self.server))
            self.call("QuotesService/CountQuotes", token=token or self.tokens["bot"],
                      channel=channel)

    def assert_refused(self, code, reason, call, *arguments, **options):
        """The call fails so, and says no secret; the details of its error. Without a reason it is gRPC
        that refuses."""
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **options)
        error = caught.exception
        self.assertEqual(error.code().name, code, error.details())
        text = repr(error.trailing_metadata()) + str(error.details())
        self.assertEqual([secret for secret in self.guard.secrets if secret in text], [])
        found = details(error) if "grpc-status-details-bin" in dict(
            error.trailing_metadata() or ()) else {}
        self.assertEqual(found["ErrorInfo"].reason if found else None, reason, error.details())
        return found

    def refusals(self):
        """How many calls were refused for each reason that has to do with who makes them."""
        return {reason.upper(): int(count) for reason, count in re.findall(
            r'^twi_data_access_refused_total\{reason="(\w+)"\} (\d+)$',
            program.get(self.server, "/metrics")[1], re.MULTILINE)}

    @contextlib.contextmanager
    def counted(self, reason, calls):
        """In the context so many calls are refused for the reason, and for no other."""
        expected = self.refusals()
        expected[reason] += calls
        yield
        self.assertTrue(program.eventually(lambda: self.refusals() == expected))

    def reload(self, sighup=True):
        """Writes the access file and tells the server so, or lets it find out."""
        self.guard.write()
        if sighup:
            self.server.process.send_signal(signal.SIGHUP)

    def admits(self, token, channel=None):
        """Whether the token is taken."""
        try:
            self.call("QuotesService/CountQuotes", token=token, channel=channel)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
            return False
        return True

    def memory(self):
        """Bytes of memory that the server takes."""
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
