"""replay/: real traffic, told twice. TWI_TEST_MESSAGES=31961 tells all of it."""

import collections
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
import live
import live_rows
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


class Day(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())
        cls.day = live.Day(1, 500, 600)

    def test_in_its_proportions(self):
        day = live.Day(1, 4000, 3000)
        counts = collections.Counter(call.method for call in day.calls)
        for method, weight in live.MIX.items():
            self.assertEqual(counts[method], max(1, round(4 * weight)), method)
        messages = day.messages.values()
        lengths = sorted(len(message["text"]) for message in messages)
        self.assertTrue(50 < lengths[2000] < 70, lengths[2000])
        self.assertTrue(300 < lengths[3800] < 500, lengths[3800])
        self.assertLessEqual(lengths[-1], 2000)
        channels = collections.Counter(message["channel"] for message in messages)
        self.assertTrue(0.77 < sum(n for _, n in channels.most_common(10)) / 4000 < 0.83, channels)
        authors = collections.Counter(message["user"] for message in messages).most_common()
        # Zipf: the first writes about ten times as much as the tenth.
        self.assertTrue(5 < authors[0][1] / authors[9][1] < 20, authors[:10])
        for key, share in (("files", 0.12), ("embeds", 0.08), ("users", 0.22), ("reply", 0.2), ("bot", 0.05)):
            self.assertAlmostEqual(sum(bool(m[key]) for m in messages) / 4000, share, delta=0.02, msg=key)
        places = {id(call): place for place, call in enumerate(day.first + day.calls)}
        self.assertTrue(all(places[id(call.after)] < places[id(call)] for call in day.calls if call.after))

    def test_always_the_same(self):
        def told(day):
            return [(call.method, call.rows) for call in day.calls]
        self.assertEqual(told(live.Day(1, 500, 600)), told(self.day))
        self.assertNotEqual(told(live.Day(2, 500, 600)), told(self.day))

    def test_live(self):
        arguments = [FOLDER / "replay", f"--target={self.server.grpc}", f"--dsn={self.server.dsn}",
                     "--profile=live", "--messages=500", "--users=600"]
        done = subprocess.run(arguments, check=False, capture_output=True, text=True,
                              env=program.ENVIRONMENT, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        print(done.stdout, flush=True)
        self.assertIn(f"guild: {len(self.day.setup)} objects created", done.stdout)
        self.assertIn("0 calls made again", done.stdout)
        counts = dict(re.findall(r"^  (\w+): (\d+), p50 [\d.]+ ms, p99 [\d.]+ ms", done.stdout, re.MULTILINE))
        self.assertEqual(counts, {method: str(count) for method, count in collections.Counter(
            call.method for call in self.day.first + self.day.calls).items()})
        # It is for a new database.
        again = subprocess.run(arguments, check=False, capture_output=True, text=True,
                               env=program.ENVIRONMENT, timeout=100)
        self.assertEqual(again.returncode, 1, again.stdout + again.stderr)
        self.assertIn("not empty", again.stdout)
        self.what_is_not_whole_is_seen()

    def what_is_not_whole_is_seen(self):
        wrong = lambda: "\n".join(live_rows.wrong(self.server.dsn, self.day))
        told = wrong()
        self.assertEqual(told, "")
        for sql, seen in (
                ("delete from updates where serial_id = (select min(serial_id) from updates)",
                 "audit is not there so 1 times"),
                ("insert into updates select (jsonb_populate_record(u, '{\"serial_id\": 0}')).* "
                 "from updates u limit 1", "audit is there 1 times too often"),
                ("update reactions set removed = not removed where id = (select min(id) from reactions)",
                 "reaction is not there so 1 times"),
                ("insert into command_history (start_date, user_id, channel_id, command_name, "
                 "slash_command) select start_date, user_id, channel_id, command_name, true "
                 "from command_history limit 1", "interaction is there 1 times too often"),
                ("delete from channels where id = (select max(id) from channels c where not exists "
                 "(select from voice_activity v where v.channel_id = c.id) and not exists "
                 "(select from command_history h where h.channel_id = c.id) and exists "
                 "(select from messages m where m.channel_id = c.id))",
                 "messages (channel_id) refers to no channels (id)"),
                ("update users set username = 'another' where user_id = (select max(user_id) from users)",
                 "user is not there so 1 times")):
            self.assertNotIn(seen, told)
            program.query(self.server.dsn, sql)
            told = wrong()
            self.assertIn(seen, told)

    def test_what_nobody_can_tell_of_is_whole_or_not_there(self):
        day = live.Day(3, 20, 20)
        call = next(call for call in day.calls if call.method == "RecordVoiceState")
        call.uncertain, call.rows = True, [("error", ("one",)), ("error", ("other",))]
        of_it = lambda: [line for line in live_rows.wrong(self.server.dsn, day) if "in part" in line]
        self.assertEqual(of_it(), [])
        for text, found in (("one", 1), ("other", 0)):
            program.query(self.server.dsn, "insert into error_telemetry (error_type, error_message) "
                          f"values ('', '{text}')")
            self.assertEqual(len(of_it()), found)
        program.query(self.server.dsn, "delete from error_telemetry where error_type = ''")


if __name__ == "__main__":
    unittest.main()
