"""Callers that go on whatever happens, and remember what they were told."""

import collections
import concurrent.futures
import dataclasses
import random
import threading
import time

import grpc
from quotes_test import details
from twi.data.v1 import quotes_pb2, quotes_pb2_grpc

import server as program

READS, WRITES = ("GetQuote", "ListQuotes"), ("CreateQuote", "DeleteQuote")
# Between the calls of a caller, and after an error. There is always a write under way.
PAUSE, ERROR_PAUSE = 0.002, 0.02


@dataclasses.dataclass
class Answer:
    """What a call came to. Times are those of time.monotonic()."""
    method: str
    begin: float
    end: float
    code: grpc.StatusCode
    reason: str
    retry_info: bool
    message: str

    @property
    def ok(self):
        return self.code == grpc.StatusCode.OK


class Caller:
    """One call after the other, of every kind. The texts it creates are its own, and never twice
    the same; `kept` are those, by serial_id, that are there if what it was told is true, and
    `uncertain` those of which nobody can tell."""

    def __init__(self, name, channel):
        self.name = name
        self.stub = quotes_pb2_grpc.QuotesServiceStub(channel)
        self.random = random.Random(name)
        self.answers = []
        self.kept = {}
        self.uncertain = set()
        self.wrong = []

    def run(self, stopping):
        calls = [self.get, self.list] + 2 * [self.create, self.delete]
        pause = PAUSE
        while not stopping.wait(pause):
            self.random.choice(calls if self.kept else [self.create])()
            pause = PAUSE if self.answers[-1].ok else ERROR_PAUSE

    def call(self, method, **fields):
        """Makes the call; its response, or None, and its answer."""
        request = getattr(quotes_pb2, f"{method}Request")(**fields)
        response, code, found, message = None, grpc.StatusCode.OK, {}, ""
        begin = time.monotonic()
        try:
            response = getattr(self.stub, method)(request, timeout=10)
        except grpc.RpcError as error:
            code, message = error.code(), error.details()
            # What gRPC itself says has none.
            if "grpc-status-details-bin" in dict(error.trailing_metadata() or ()):
                found = details(error)
        reason = found["ErrorInfo"].reason if "ErrorInfo" in found else ""
        answer = Answer(method, begin, time.monotonic(), code, reason, "RetryInfo" in found,
                        message)
        self.answers.append(answer)
        return response, answer

    def get(self):
        serial_id, text = self.random.choice(list(self.kept.items()))
        response, _ = self.call("GetQuote", serial_id=serial_id)
        if response and response.quote.quote != text:
            self.wrong.append((text, response.quote.quote))

    def list(self):
        self.call("ListQuotes", page_size=10)

    def create(self):
        text = f"Caller {self.name} says {len(self.answers)}"
        response, answer = self.call("CreateQuote", quote=text)
        if response:
            self.kept[response.quote.serial_id] = text
        elif answer.code == grpc.StatusCode.UNKNOWN:
            self.uncertain.add(text)

    def delete(self):
        serial_id = self.random.choice(list(self.kept))
        _, answer = self.call("DeleteQuote", serial_id=serial_id)
        if answer.ok:
            del self.kept[serial_id]
        elif answer.code == grpc.StatusCode.UNKNOWN:
            self.uncertain.add(self.kept.pop(serial_id))


class Load:
    """Callers at work, for as long as the context lasts."""

    def __init__(self, channel, callers=12):
        self.callers = [Caller(str(n), channel) for n in range(callers)]

    def __enter__(self):
        self.stopping = threading.Event()
        self.threads = concurrent.futures.ThreadPoolExecutor(len(self.callers))
        self.running = [self.threads.submit(caller.run, self.stopping) for caller in self.callers]
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.threads.shutdown()
        for caller in self.running:
            caller.result()

    def answers(self):
        return [answer for caller in self.callers for answer in list(caller.answers)]

    def served(self, since):
        """When the last kind of call was answered OK for the first time since then; None if one was
        not yet."""
        first = {}
        for caller in self.callers:
            for answer in reversed(caller.answers):
                if answer.end < since:
                    break
                if answer.ok:
                    first[answer.method] = min(answer.end, first.get(answer.method, answer.end))
        return max(first.values()) if len(first) == len(READS + WRITES) else None

    def summary(self):
        """How often each method came to what."""
        counts = collections.Counter(
            (answer.method, f"{answer.code.name} {answer.reason}".strip())
            for answer in self.answers())
        return "\n".join(f"  {method} {code}: {n}" for (method, code), n in sorted(counts.items()))

    def check_rows(self, test, dsn):
        """Every row that callers were told of is there once, and no other but uncertain ones. How
        many of those are there, and how many there are."""
        stored = program.query(dsn, "select quote from quotes").splitlines()
        kept = {text for caller in self.callers for text in caller.kept.values()}
        uncertain = {text for caller in self.callers for text in caller.uncertain}
        test.assertEqual([text for text, n in collections.Counter(stored).items() if n > 1], [],
                         "written twice")
        test.assertEqual(kept - set(stored), set(), "acknowledged and lost")
        test.assertEqual(set(stored) - kept - uncertain, set(), "deleted, or refused, but there")
        test.assertEqual([caller.wrong for caller in self.callers if caller.wrong], [])
        return len(uncertain & set(stored)), len(uncertain)
