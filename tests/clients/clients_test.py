"""The programs of examples/: each does what its lines say, in every language."""

import os
import pathlib
import subprocess
import unittest

import front
import server as program

EXAMPLES = pathlib.Path(__file__).with_name("examples")
PRINTED = """\
get: Sing to me.
list: 3 quotes on 2 pages
update: https://b.example/ new
update: https://b.example/ without a tag
stream in: 3 messages are there
stream out: One. Two. Three.
refused: INVALID_ARGUMENT quote author_id
refused: NOT_FOUND ROW_NOT_FOUND
late: DEADLINE_EXCEEDED
"""


class Clients(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())

    def tour(self, *command):
        program.query(self.server.dsn, "truncate quotes, links, messages cascade")
        refusals = {"CreateQuote": 1, "GetQuote": 2}
        with (front.Front(self.server.grpc, refusals) as between,
              program.transaction(self.server.dsn, "lock table gallery_mementos")):
            tour = subprocess.run([*command, between.target], check=False, capture_output=True,
                                  text=True, timeout=60)
        self.assertEqual((tour.stdout, tour.returncode), (PRINTED, 0), tour.stderr)

        # One was created again by its caller, one read again by gRPC.
        self.assertEqual(between.attempts["CreateQuote"], [0] * 5)
        self.assertEqual(between.attempts["GetQuote"], [0, 1, 2, 0])
        self.assertEqual(between.attempts["ListQuotes"], [0, 0])
        self.assertEqual(program.query(
            self.server.dsn, "select (select count(*) from quotes), (select count(*) from links),"
            " string_agg(content, ' ' order by message_id) from messages"), "0|0|One. Two. Three.")

    def test_python(self):
        self.tour("/usr/bin/python3", EXAMPLES / "tour.py")

    def test_python_aio(self):
        self.tour("/usr/bin/python3", EXAMPLES / "tour_aio.py")

    def test_node(self):
        self.tour(os.environ["NODE"], EXAMPLES / "tour.js")

    def test_cpp(self):
        self.tour(os.environ["TWI_TOUR"])


if __name__ == "__main__":
    unittest.main()
