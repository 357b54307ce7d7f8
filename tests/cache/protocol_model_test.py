"""The rules of cache/README.md, in every order in which things can happen.

Two transactions write what an answer shows: `BESIDE` comes from another program and is told without
its rows, `OWN` goes through the service and is told by its keys. There are a stream of changes that
may be lost once, a flight that reads and keeps an answer (one, for what becomes of an answer depends
on no other), and readers, one at a time, who may find the answer, join the flight or ask the database
themselves. All states that they can come to are looked at. It is wrong when a reader is given an
answer that lacks what he was promised to see.

Each rule that is left out must lead there: so each is needed, and the model sees what it is for. With
all of them nobody gets there.

Changes come from the stream, or from the outbox, which is read again and again.
"""

import collections
import gc
import itertools
import unittest

BESIDE, OWN = 0, 1
IDLE, RUNNING, LOGGED, VISIBLE, ANSWERED = range(5)
NOTHING = frozenset()

# What is told of a transaction, and what the answer depends on.
TOLD = {BESIDE: {"rest"}, OWN: {"key a", "key b"}}
DEPENDS = {"rest", "key a"}

# With the readers who notice: those who name `strict`, or those who name a token or nothing.
RULES = {
    # Without it an answer is dropped when a change is told, which may be too early.
    "look whether the snapshot sees what is told": "strict",
    "take the snapshot before the statement": "strict",
    "keep nothing that was read while older transactions than the stream were under way": "strict",
    "begin a new generation with a new stream": "strict",
    "ask how far the log goes": "strict",
    "count the time of the question, not of the answer": "strict",
    "look for the flight's answer like everybody": "session",
    "answer a write when it is told": "session",
    "give no hits after a write that was answered untold": "session",
    "wait for the token's place": "session",
    "depend on what is told without its rows": "strict",
    "tell all keys of a change": "strict",
}

# Of the outbox.
OUTBOX_RULES = {
    "look whether the snapshot sees what is told": "strict",
    "keep nothing that was read while older transactions than the stream were under way": "strict",
    "begin a new generation with a new stream": "strict",
    "count the time of the question, not of the answer": "strict",
    "look for the flight's answer like everybody": "session",
    "answer a write when it is told": "session",
    "give no hits after a write that was answered untold": "session",
    "depend on what is told without its rows": "strict",
    "tell all keys of a change": "strict",
    "tell also who had begun before the last reading": "strict",
    "look whether the registration is there": "strict",
    # How far the log goes is no more than a bound of what has been seen.
    "wait for a reading that was sent after the token came": "session",
}

# A stream: how much of the log is told, or came before it and never is; which transactions had
# begun when its first number was drawn, None before; which of those that the answer depends on are
# told; whether it was ever current.
Stream = collections.namedtuple("Stream", "told first changed current")
# The outbox, with what was visible when it began for `told`. The `silent` do not write down what they
# do, or it is gone, with the registration when `gone`. For those who leave out a rule: the `running`
# had begun when it was read, and `reach` is where the log ended then.
Outbox = collections.namedtuple("Outbox", "told first changed current silent running reach gone")
# Who is under way when it is asked counts as asked before: `reader` and `write`.
Question = collections.namedtuple("Question", "end reader write")
# `old`: it began before this generation.
Flight = collections.namedtuple("Flight", "old snapshot under_way shows")
Entry = collections.namedtuple("Entry", "snapshot shows")
# `needs` must be seen by him. He was there when the flight `joins` had not ended.
Reader = collections.namedtuple("Reader", "needs fresh token joins")
State = collections.namedtuple(
    "State", "stages log stream losses question heard barred flight flown entry reader")

BEGIN = State(stages=(IDLE, IDLE), log=(), stream=None, losses=0, question=None, heard=False,
              barred=False, flight=None, flown=False, entry=None, reader=None)


class Model:

    def __init__(self, mode, without=None):
        self.mode = mode
        self.without = without
        self.hits = set()

    rules = RULES

    def keeps(self, rule):
        assert rule in RULES or rule in OUTBOX_RULES
        return rule != self.without

    def affects(self, transaction):
        told, depends = TOLD[transaction], DEPENDS
        if not self.keeps("tell all keys of a change"):
            told = told - {"key a"}
        if not self.keeps("depend on what is told without its rows"):
            depends = depends - {"rest"}
        return bool(told & depends)

    def wrong(self):
        """How a reader is misled, as the names of what happens; None if nobody ever is."""
        # States are never garbage, and looking for some would take a quarter of the time.
        gc.disable()
        came_from = {BEGIN: None}
        left = collections.deque([BEGIN])
        while left:
            state = left.popleft()
            for name, then in self.steps(state):
                if then is None:
                    path = [name]
                    while came_from[state] is not None:
                        name, state = came_from[state]
                        path.append(name)
                    return path[::-1]
                # When the flight is over and nothing is kept of it, nothing can go wrong any more.
                spent = then.flown and then.flight is None and then.entry is None
                if not spent and then not in came_from:
                    came_from[then] = (name, state)
                    left.append(then)
        self.states = len(came_from)
        return None

    def steps(self, state):
        yield from self.transactions(state)
        yield from self.changes(state)
        yield from self.questions(state)
        yield from self.flying(state)
        yield from self.reading(state)

    # The database.

    @staticmethod
    def visible(state):
        return frozenset(i for i in (BESIDE, OWN) if state.stages[i] >= VISIBLE)

    @staticmethod
    def under_way(state):
        return frozenset(i for i in (BESIDE, OWN) if state.stages[i] in (RUNNING, LOGGED))

    def transactions(self, state):
        def stage(transaction, to, **more):
            stages = list(state.stages)
            stages[transaction] = to
            return state._replace(stages=tuple(stages), **more)

        for i in (BESIDE, OWN):
            name = ("beside", "own")[i]
            if state.stages[i] == IDLE:
                yield f"{name} begins", stage(i, RUNNING)
            if state.stages[i] == RUNNING:
                yield f"{name} is in the log", stage(i, LOGGED, log=(*state.log, i))
            if state.stages[i] == LOGGED:
                yield f"{name} is visible", stage(i, VISIBLE)
        # The service answers its own; who is strict does not care whether it did.
        if state.stages[OWN] == VISIBLE and self.mode != "strict":
            deaf = state.stream is None or state.stream.first is None
            if state.heard or deaf or self.told_own(state):
                yield "own is answered", stage(OWN, ANSWERED, heard=False)
            elif not self.keeps("answer a write when it is told"):
                yield "own is answered", stage(OWN, ANSWERED, heard=False)
            else:
                # After so long a wait what is known is older than a hit may be.
                barred = self.keeps("give no hits after a write that was answered untold")
                yield "own is answered late", stage(OWN, ANSWERED, heard=False, barred=barred)

    @staticmethod
    def told_own(state):
        """Whether the own transaction is known to be told, whatever else is."""
        return OWN in state.log[:state.stream.told]

    # The stream.

    def changes(self, state):
        stream = state.stream
        if stream is None:
            yield "slot", state._replace(stream=Stream(len(state.log), None, NOTHING, False))
            return
        if stream.first is None:
            first = frozenset(i for i in (BESIDE, OWN) if state.stages[i] >= RUNNING)
            if not self.keeps("keep nothing that was read while older transactions than the "
                              "stream were under way"):
                first = NOTHING
            then = state._replace(stream=stream._replace(first=first))
            if self.keeps("begin a new generation with a new stream"):
                flight = state.flight and state.flight._replace(old=True)
                then = then._replace(flight=flight, entry=None)
            yield "open", then
        elif stream.told < len(state.log):
            told = state.log[stream.told]
            changed = stream.changed | ({told} if self.affects(told) else NOTHING)
            then = state._replace(stream=stream._replace(told=stream.told + 1, changed=changed))
            if not self.keeps("look whether the snapshot sees what is told"):
                # An answer is dropped when it is told that it is wrong, and that is all.
                then = then._replace(entry=None)
            yield "told", then
        if state.losses == 0:
            yield "lost", state._replace(stream=None, losses=1, question=None)

    # How far it is.

    def questions(self, state):
        stream, question = state.stream, state.question
        if stream is None or stream.first is None:
            return
        if question is None:
            end = len(state.log)
            if not self.keeps("ask how far the log goes"):
                end = stream.told
            yield "asks", state._replace(
                question=Question(end, *self.asking(state)))
        elif stream.told >= question.end:
            by_reader, by_write = question.reader, question.write
            if not self.keeps("count the time of the question, not of the answer"):
                by_reader, by_write = self.asking(state)
            then = state._replace(question=None, stream=stream._replace(current=True),
                                  heard=by_write and state.stages[OWN] == VISIBLE,
                                  barred=state.barred and not by_write)
            if by_reader and state.reader is not None:
                then = then._replace(reader=state.reader._replace(fresh=True))
            yield "current", then

    def asking(self, state):
        """Whether a reader waits for an answer, and a write."""
        if self.mode == "strict":
            return state.reader is not None, False
        return False, state.stages[OWN] >= VISIBLE

    # A statement, and what is kept of it.

    def flying(self, state):
        flight, stream = state.flight, state.stream
        snapshot_first = self.keeps("take the snapshot before the statement")
        if flight is None:
            if not state.flown:
                begun = Flight(False, None, None, None)
                begun = self.see(state, begun, snapshot=snapshot_first)
                yield "snapshot" if snapshot_first else "statement", state._replace(
                    flight=begun, flown=True)
        elif flight.snapshot is None or flight.shows is None:
            yield "statement" if snapshot_first else "snapshot", state._replace(
                flight=self.see(state, flight, snapshot=not snapshot_first))
        else:
            yield from self.landing(state)

    def see(self, state, flight, snapshot):
        if snapshot:
            return flight._replace(snapshot=self.visible(state), under_way=self.under_way(state))
        return flight._replace(shows=self.visible(state))

    def landing(self, state):
        flight, stream, reader = state.flight, state.stream, state.reader
        entry = state.entry
        if (stream is not None and stream.first is not None and not flight.old
                and not stream.first & flight.under_way
                and self.sees(flight.snapshot, stream)):
            entry = Entry(flight.snapshot, flight.shows)
        then = state._replace(flight=None, entry=entry)
        if reader is not None and reader.joins:
            if not self.keeps("look for the flight's answer like everybody"):
                wrong = not reader.needs <= flight.shows
                yield "join", None if wrong else then._replace(reader=None)
                return
            then = then._replace(reader=reader._replace(joins=False))
        yield "landed", then

    def sees(self, snapshot, stream):
        if not self.keeps("look whether the snapshot sees what is told"):
            return True
        return stream.changed <= snapshot

    # Who asks.

    def reading(self, state):
        reader, stream = state.reader, state.stream
        if reader is None:
            # Who came before the flight began is shown no less than was there when he came.
            if state.flight is None and state.entry is None:
                return
            question = state.question and state.question._replace(reader=False)
            for reader in self.arrivals(state):
                name = "call with a token" if reader.token else "call"
                yield name, state._replace(question=question, reader=reader)
            return
        # He asks the database himself, and is right.
        yield "miss", state._replace(reader=None)
        if reader.joins or state.entry is None or stream is None or stream.first is None:
            return
        if not stream.current or state.barred or (self.mode == "strict" and not reader.fresh):
            return
        if not self.tells(stream, reader):
            return
        entry = state.entry
        if self.sees(entry.snapshot, stream):
            self.hits.add((entry.shows, reader.needs))
            wrong = not reader.needs <= entry.shows
            yield "hit", None if wrong else state._replace(reader=None)

    def tells(self, stream, reader):
        """Whether what the token stands for is told."""
        return stream.told >= reader.token or not self.keeps("wait for the token's place")

    def arrivals(self, state):
        joins = state.flight is not None
        if self.mode == "strict":
            yield Reader(self.visible(state), False, 0, joins)
            return
        # Whatever he has named, what this server has answered he sees.
        own = frozenset({OWN}) if state.stages[OWN] == ANSWERED else NOTHING
        yield Reader(own, False, 0, joins)
        if state.stages[BESIDE] >= VISIBLE:
            # Another server has told him of it, and where the log ended then.
            yield Reader(own | {BESIDE}, False, len(state.log), joins)


class OutboxModel(Model):
    """The same, but for where changes come from."""

    rules = OUTBOX_RULES

    @staticmethod
    def told_own(state):
        return False

    def changes(self, state):
        stream = state.stream
        begun = frozenset(i for i in (BESIDE, OWN) if state.stages[i] >= RUNNING)
        if stream is None:
            # What they have done by then they have not written down.
            yield "registered", state._replace(
                stream=Outbox(NOTHING, None, NOTHING, False, begun, NOTHING, 0, False))
            return
        if stream.first is None:
            seen = stream._replace(told=self.visible(state), running=self.running(state))
            for name, then in super().changes(state._replace(stream=seen)):
                yield name, then
            return
        if state.losses == 0:
            yield "lost", state._replace(stream=None, losses=1, question=None)
            yield "cleared", state._replace(
                stream=stream._replace(silent=begun - stream.told, gone=True), losses=1)

    def questions(self, state):
        stream, question = state.stream, state.question
        if stream is None or stream.first is None:
            return
        if question is None:
            yield "sends", state._replace(question=Question(None, *self.asking(state)))
        elif question.end is None:
            # Those of readings before are in `changed` already.
            written = self.visible(state) - stream.silent - stream.told
            yield "reads", state._replace(question=question._replace(
                end=(written, self.running(state), self.reach(state), stream.gone)))
        else:
            new, running, reach, gone = question.end
            if gone and self.keeps("look whether the registration is there"):
                yield "lost", state._replace(stream=None, question=None)
                return
            if not self.keeps("tell also who had begun before the last reading"):
                new -= stream.running
            changed = stream.changed | {i for i in new if self.affects(i)}
            then = state
            if changed != stream.changed and not self.keeps("look whether the snapshot sees what is told"):
                then = then._replace(entry=None)
            by_reader, by_write = question.reader, question.write
            if not self.keeps("count the time of the question, not of the answer"):
                by_reader, by_write = self.asking(state)
            stream = stream._replace(running=running, reach=reach, changed=changed, current=True)
            then = then._replace(question=None, stream=stream,
                                 heard=by_write and state.stages[OWN] == VISIBLE,
                                 barred=state.barred and not by_write)
            if by_reader and state.reader is not None:
                then = then._replace(reader=state.reader._replace(fresh=True))
            yield "current", then

    def running(self, state):
        told = self.keeps("tell also who had begun before the last reading")
        return NOTHING if told else self.under_way(state)

    def reach(self, state):
        waits = self.keeps("wait for a reading that was sent after the token came")
        return 0 if waits else len(state.log)

    def asking(self, state):
        by_reader, by_write = super().asking(state)
        return by_reader or bool(state.reader and state.reader.token), by_write

    def tells(self, stream, reader):
        if self.keeps("wait for a reading that was sent after the token came"):
            return not reader.token or reader.fresh
        return stream.reach >= reader.token


class ProtocolModelTest(unittest.TestCase):

    def test_nobody_is_misled(self):
        for kind, mode in itertools.product((Model, OutboxModel), ("strict", "session")):
            with self.subTest(f"{kind.__name__} {mode}"):
                model = kind(mode)
                self.assertIsNone(model.wrong())
                # There are hits of every kind: it is not the want of them that is right.
                everything = frozenset((BESIDE, OWN))
                self.assertIn((NOTHING, NOTHING), model.hits)
                self.assertIn((everything, everything), model.hits)
                print(f"{kind.__name__} {mode}: {model.states} states", flush=True)

    def test_every_rule_is_needed(self):
        for kind in (Model, OutboxModel):
            for rule, mode in kind.rules.items():
                with self.subTest(f"{kind.__name__} {rule}"):
                    path = kind(mode, without=rule).wrong()
                    self.assertIsNotNone(path)
                    print(f"{kind.__name__}: {rule}: {', '.join(path)}", flush=True)


if __name__ == "__main__":
    unittest.main()
