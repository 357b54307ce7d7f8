"""QuotesService, called by Python's grpcio with stubs that protoc generated."""

import unittest

import grpc
from google.rpc import error_details_pb2, status_pb2
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import server as program

SERVICE = "/twi.data.v1.QuotesService/"
NOBODY = 1 << 40


def details(error):
    """The details of an error by the name of their type."""
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0], status
    assert status.message == error.details(), status
    found = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.type_url.rpartition(".")[2])
        found[kind.__name__] = kind.FromString(detail.value)
    return found


class QuotesCase(unittest.TestCase):
    """A server of the class's own, and what its tests call it with."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        cls.stub = quotes_pb2_grpc.QuotesServiceStub(cls.channel)

    def create(self, quote, compression=None, **fields):
        return self.stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote=quote, **fields),
                                     compression=compression)

    def refused(self, code, call, *arguments, **options):
        """Makes the call, which must fail so; the reason and the details of its error."""
        with self.assertRaises(grpc.RpcError) as context:
            call(*arguments, **options)
        error = context.exception
        self.assertEqual(error.code(), code, error.details())
        found = details(error)
        self.assertEqual(found["ErrorInfo"].domain, "data.twi")
        return found["ErrorInfo"].reason, found


class Life(QuotesCase):
    """One quote from its creation to its end."""

    def test_create_read_delete(self):
        before = self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count
        made = self.create("  Sing to me.\n", author=" Erin Solstice ", author_id=42)
        self.assertEqual(made.quote.quote, "Sing to me.")
        self.assertEqual(made.quote.author, "Erin Solstice")
        self.assertEqual(made.quote.author_id, 42)
        self.assertGreater(made.quote.time.seconds, 1_700_000_000)
        self.assertEqual(made.index, before + 1)

        request = quotes_pb2.GetQuoteRequest(serial_id=made.quote.serial_id)
        self.assertEqual(self.stub.GetQuote(request).quote, made.quote)
        place = quotes_pb2.GetQuoteByIndexRequest(index=made.index)
        self.assertEqual(self.stub.GetQuoteByIndex(place).quote, made.quote)
        self.assertEqual(self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count, before + 1)

        self.stub.DeleteQuote(quotes_pb2.DeleteQuoteRequest(serial_id=made.quote.serial_id))
        reason, _ = self.refused(grpc.StatusCode.NOT_FOUND, self.stub.GetQuote, request)
        self.assertEqual(reason, "ROW_NOT_FOUND")
        self.assertEqual(self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count, before)

    def test_absent_fields_stay_absent(self):
        made = self.create("Nobody said this.").quote
        read = self.stub.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=made.serial_id)).quote
        self.assertFalse(read.HasField("author"))
        self.assertFalse(read.HasField("author_id"))

    def test_texts_arrive_as_they_were(self):
        text = "Ünïcödé 🎭 'quoted' \"twice\" \\ % $1 :name;\n-- not a comment"
        made = self.create(text).quote
        read = self.stub.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=made.serial_id)).quote
        self.assertEqual(read.quote, text)


class Reads(QuotesCase):
    """Lists and searches over quotes that nobody changes meanwhile."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.quotes = [
            cls.stub.CreateQuote(quotes_pb2.CreateQuoteRequest(quote=f"Saying number {n}")).quote
            for n in range(23)
        ]
        cls.quotes.append(cls.stub.CreateQuote(quotes_pb2.CreateQuoteRequest(
            quote="No killing Goblins in the inn", author="Erin Solstice")).quote)

    def pages(self, method, request, field):
        """Walks through all pages: their sizes and everything on them."""
        sizes, everything = [], []
        while True:
            page = method(request)
            sizes.append(len(getattr(page, field)))
            everything += getattr(page, field)
            if not page.next_page_token:
                return sizes, everything
            request.page_token = page.next_page_token

    def test_pages_hold_each_quote_once_in_order(self):
        for size, sizes in (7, [7, 7, 7, 3]), (12, [12, 12]), (24, [24]), (0, [24]):
            with self.subTest(page_size=size):
                request = quotes_pb2.ListQuotesRequest(page_size=size)
                self.assertEqual(self.pages(self.stub.ListQuotes, request, "quotes"),
                                 (sizes, self.quotes))

    def test_index_pages(self):
        request = quotes_pb2.ListQuoteIndexRequest(page_size=10)
        sizes, entries = self.pages(self.stub.ListQuoteIndex, request, "entries")
        self.assertEqual(sizes, [10, 10, 4])
        self.assertEqual([entry.index for entry in entries], list(range(1, 25)))
        self.assertEqual([entry.serial_id for entry in entries],
                         [quote.serial_id for quote in self.quotes])
        self.assertEqual(entries[-1].quote, "No killing Goblins in the inn")

    def test_page_tokens_are_of_one_question(self):
        token = self.stub.ListQuotes(quotes_pb2.ListQuotesRequest(page_size=5)).next_page_token
        # Its end is the key, which any row may have; what stands first says what was asked.
        changed = ("B" if token[0] == "A" else "A") + token[1:]
        for wrong in "made up", changed, token[:-4], token + "AAAA":
            with self.subTest(token=wrong):
                reason, _ = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.stub.ListQuotes,
                                         quotes_pb2.ListQuotesRequest(page_token=wrong))
                self.assertEqual(reason, "PAGE_TOKEN_INVALID")
        reason, _ = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.stub.ListQuoteIndex,
                                 quotes_pb2.ListQuoteIndexRequest(page_token=token))
        self.assertEqual(reason, "PAGE_TOKEN_INVALID")

    def test_search(self):
        def search(text, **fields):
            request = quotes_pb2.SearchQuotesRequest(search=text, **fields)
            return list(self.stub.SearchQuotes(request).matches)

        found = search("killing goblin")
        self.assertEqual([(match.serial_id, match.index, match.quote) for match in found],
                         [(self.quotes[-1].serial_id, 24, "No killing Goblins in the inn")])
        self.assertGreater(found[0].rank, 0)
        self.assertEqual(len(search("saying", limit=4)), 4)
        self.assertEqual(len(search("saying -7")), 22)
        self.assertEqual(search("the"), [])
        self.assertEqual(search("'); drop table quotes; --"), [])
        ranks = [match.rank for match in search("saying or goblin")]
        self.assertEqual(ranks, sorted(ranks, reverse=True))

    def test_random(self):
        answers = [self.stub.GetRandomQuote(quotes_pb2.GetRandomQuoteRequest()) for _ in range(40)]
        for answer in answers:
            self.assertEqual(answer.quote, self.quotes[answer.index - 1])
        # 40 equal ones of 24 come once in 24^39 runs.
        self.assertGreater(len({answer.index for answer in answers}), 1)


class Refusals(QuotesCase):
    """What is wrong is told so that a program and a person understand it."""

    def test_every_violation_at_once(self):
        request = quotes_pb2.CreateQuoteRequest(quote="ab", author="x" * 201, author_id=-1)
        reason, found = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.stub.CreateQuote,
                                     request)
        self.assertEqual(reason, "FIELD_INVALID")
        violations = found["BadRequest"].field_violations
        self.assertEqual([violation.field for violation in violations],
                         ["quote", "author", "author_id"])
        self.assertTrue(all(violation.description for violation in violations))

    def test_rules(self):
        for method, request, field in (
                ("GetQuote", quotes_pb2.GetQuoteRequest(), "serial_id"),
                ("GetQuote", quotes_pb2.GetQuoteRequest(serial_id=-5), "serial_id"),
                ("GetQuoteByIndex", quotes_pb2.GetQuoteByIndexRequest(index=0), "index"),
                ("ListQuotes", quotes_pb2.ListQuotesRequest(page_size=-1), "page_size"),
                ("SearchQuotes", quotes_pb2.SearchQuotesRequest(search=" x "), "search"),
                ("CreateQuote", quotes_pb2.CreateQuoteRequest(quote="   "), "quote"),
                ("CreateQuote", quotes_pb2.CreateQuoteRequest(quote="x" * 2001), "quote"),
                ("CreateQuote", quotes_pb2.CreateQuoteRequest(quote="x\n" * 11 + "x"), "quote")):
            with self.subTest(method=method, request=str(request)[:60]):
                reason, found = self.refused(grpc.StatusCode.INVALID_ARGUMENT,
                                             getattr(self.stub, method), request)
                self.assertEqual(reason, "FIELD_INVALID")
                self.assertEqual([violation.field
                                  for violation in found["BadRequest"].field_violations], [field])

    def test_nul(self):
        reason, _ = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.create, "a\0b is no text")
        self.assertEqual(reason, "TEXT_CONTAINS_NUL")

    def test_nothing_there(self):
        for method, request in (
                ("GetQuote", quotes_pb2.GetQuoteRequest(serial_id=NOBODY)),
                ("GetQuoteByIndex", quotes_pb2.GetQuoteByIndexRequest(index=1_000_000)),
                ("GetRandomQuote", quotes_pb2.GetRandomQuoteRequest()),
                ("DeleteQuote", quotes_pb2.DeleteQuoteRequest(serial_id=NOBODY))):
            with self.subTest(method=method):
                reason, _ = self.refused(grpc.StatusCode.NOT_FOUND, getattr(self.stub, method),
                                         request)
                self.assertEqual(reason, "ROW_NOT_FOUND")


class Wire(QuotesCase):
    """Calls that a well-behaved stub would not make."""

    def raw(self, method):
        return self.channel.unary_unary(SERVICE + method)

    def test_unknown_method(self):
        for method in SERVICE + "NoSuchMethod", "/twi.data.v1.NoSuchService/Get", "/x":
            with self.subTest(method=method):
                reason, _ = self.refused(grpc.StatusCode.UNIMPLEMENTED,
                                         self.channel.unary_unary(method), b"")
                self.assertEqual(reason, "METHOD_UNKNOWN")

    def test_malformed_request(self):
        reason, _ = self.refused(grpc.StatusCode.INVALID_ARGUMENT, self.raw("GetQuote"), b"\x0a\xff")
        self.assertEqual(reason, "REQUEST_MALFORMED")

    def test_compressed_request(self):
        for algorithm in grpc.Compression.Gzip, grpc.Compression.Deflate:
            with self.subTest(algorithm=algorithm), self.assertRaises(grpc.RpcError) as context:
                self.create("x" * 1500, compression=algorithm)
            # By gRPC itself, before it unpacks anything: so without our details.
            self.assertEqual(context.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count, 0)

    def test_oversized_message(self):
        for size in (4 << 20) + 1, 5 << 20:
            with self.subTest(size=size):
                reason, _ = self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, self.raw("GetQuote"),
                                         b"\0" * size)
                self.assertEqual(reason, "MESSAGE_TOO_LARGE")

    def test_more_than_grpc_itself_takes(self):
        with self.assertRaises(grpc.RpcError) as context:
            self.raw("GetQuote")(b"\0" * (17 << 20))
        self.assertEqual(context.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual(self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count, 0)

    def test_a_unary_call_has_one_message(self):
        call = self.channel.stream_unary(SERVICE + "CountQuotes")
        self.assertEqual(call(iter([b""])), b"")
        for messages in [], [b"", b""]:
            with self.subTest(messages=len(messages)):
                reason, _ = self.refused(grpc.StatusCode.UNIMPLEMENTED, call, iter(messages))
                self.assertEqual(reason, "CALL_REFUSED")

    def test_two_messages_write_nothing(self):
        message = quotes_pb2.CreateQuoteRequest(quote="Sent twice.").SerializeToString()
        call = self.channel.stream_unary(SERVICE + "CreateQuote")
        self.refused(grpc.StatusCode.UNIMPLEMENTED, call, iter([message, message]))
        self.assertEqual(self.stub.CountQuotes(quotes_pb2.CountQuotesRequest()).count, 0)

    def test_deadline(self):
        with self.assertRaises(grpc.RpcError) as context:
            self.stub.CountQuotes(quotes_pb2.CountQuotesRequest(), timeout=0)
        self.assertEqual(context.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        # A deadline that suffices is none.
        self.stub.CountQuotes(quotes_pb2.CountQuotesRequest(), timeout=30)


class Deadlines(QuotesCase):
    """A call that waits in the database is answered at its deadline, and harms no other."""

    def test_waiting_write(self):
        made = self.create("Locked by psql.").quote
        with program.transaction(self.server.dsn, "lock table quotes in share mode"):
            with self.assertRaises(grpc.RpcError) as context:
                self.stub.DeleteQuote(quotes_pb2.DeleteQuoteRequest(serial_id=made.serial_id),
                                      timeout=1)
            self.assertEqual(context.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            # The server has given it up as well, not only grpcio.
            self.assertTrue(program.eventually(lambda: program.metric(
                self.server, "grpc_server_in_flight", grpc_method="DeleteQuote") == 0))
            # Reads do not wait behind it.
            self.stub.GetQuote(quotes_pb2.GetQuoteRequest(serial_id=made.serial_id), timeout=10)
        self.create("Unlocked again.")


if __name__ == "__main__":
    unittest.main()
