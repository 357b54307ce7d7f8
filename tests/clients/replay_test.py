"""replay/: real traffic, told twice. TWI_TEST_MESSAGES=31961 tells all of it."""

import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

import server as program

FOLDER = pathlib.Path(__file__).with_name("replay")
TRACE = FOLDER.parents[1] / "data" / "chat_trace.csv"
MESSAGES = int(os.environ.get("TWI_TEST_MESSAGES", 2000))

sys.path.append(str(FOLDER))
import story


class Story(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.messages = story.read(TRACE)

    def test_as_traced(self):
        lengths = [int(line.split(",")[3]) for line in TRACE.read_text().splitlines()[1:]]
        self.assertEqual([len(message.content or "") for message in self.messages], lengths)
        self.assertEqual(len({message.id for message in self.messages}), 31_961)
        self.assertEqual(len({message.channel for message in self.messages}), 131)
        self.assertEqual(len({message.user for message in self.messages}), 66)
        self.assertEqual(sum(bool(message.mentions) for message in self.messages), 3195)
        self.assertEqual([message.time for message in self.messages],
                         sorted(message.time for message in self.messages))

    def test_always_the_same(self):
        self.assertEqual(story.read(TRACE), self.messages)
        self.assertNotEqual(story.read(TRACE, seed=2), self.messages)
        # Of few it tells what it tells of all.
        self.assertEqual(story.read(TRACE, limit=500), self.messages[:500])

    def test_all_that_happens(self):
        for kind in ("content", "reference", "mentions", "files", "edited", "deleted"):
            self.assertTrue(any(getattr(message, kind) for message in self.messages), kind)
        self.assertTrue(all(message.edited != message.content for message in self.messages
                            if message.edited))
        happened = story.events(self.messages)
        places = {id(event): place for place, event in enumerate(happened)}
        self.assertTrue(all(places[id(event.after)] < place for place, event in enumerate(happened)
                            if event.after))


class Replay(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())

    def setUp(self):
        program.query(self.server.dsn, "truncate messages, message_edit, users, servers cascade")

    def replay(self, *arguments, code=0):
        done = subprocess.run(
            [FOLDER / "replay", f"--target={self.server.grpc}", f"--dsn={self.server.dsn}",
             f"--messages={MESSAGES}", *arguments], check=False, capture_output=True, text=True,
            env=program.ENVIRONMENT, timeout=100)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def rounds(self, printed):
        """(created, there before, made again) of each round."""
        return [tuple(map(int, found)) for found in re.findall(
            r"(\d+) messages created, (\d+) were there, (\d+) calls made again", printed)]

    def test_told_twice(self):
        self.assertEqual(self.rounds(self.replay("--rounds=2")),
                         [(MESSAGES, 0, 0), (0, MESSAGES, 0)])
        self.assertEqual(self.rounds(self.replay("--imported")), [(0, MESSAGES, 0)])

    def test_imported_twice(self):
        self.assertEqual(self.rounds(self.replay("--rounds=2", "--imported")),
                         [(MESSAGES, 0, 0), (0, MESSAGES, 0)])

    def test_what_is_not_whole_is_seen(self):
        # Each of these is undone by nobody, as all is there already.
        self.replay("--messages=300")
        for sql, seen in (
                ("update messages set content = content || ' ' where message_id = "
                 "(select min(message_id) from messages)", "message is not there so"),
                ("insert into message_edit (id, old_content, new_content, edit_timestamp) "
                 "select id, old_content, new_content, edit_timestamp from message_edit limit 1",
                 "edit is there 1 times too often"),
                ("delete from mentions where serial_id = (select min(serial_id) from mentions)",
                 "message is not there so"),
                ("insert into messages select (jsonb_populate_record(m, jsonb_build_object("
                 "'message_id', 7))).* from messages m limit 1", "message is there 1 times too often")):
            with self.subTest(sql=sql):
                program.query(self.server.dsn, sql)
                self.assertIn(seen, self.replay("--messages=300", code=1))

    def test_at_its_pace(self):
        messages = story.read(TRACE, limit=30)
        span = story.events(messages)[-1].time - messages[0].time
        begin = time.monotonic()
        self.replay("--messages=30", f"--speed={span}")
        # No sooner; later if the machine is busy.
        self.assertGreaterEqual(time.monotonic() - begin, 1)


if __name__ == "__main__":
    unittest.main()
