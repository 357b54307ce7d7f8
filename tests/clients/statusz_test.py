"""The page of the status, as an operator's browser gets it: Chromium shows it, wide and on a phone."""

import html
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import tempfile
import unittest
import urllib.request
import zlib

import grpc
from raw import query
from twi.data.v1 import database_pb2, database_pb2_grpc

import server as program

SERVICE = "twi.data.v1.QuotesService"
SECTIONS = ["busiest", "slowest", "connections", "slow", "errors"]

# A phone, 360 px wide: browsers' own windows are not made so narrow. The copy of the page that it
# shows tells how wide it really is, and which of its elements stand out.
PHONE = """<!doctype html><title>waiting</title><script>
onmessage = (told) => { document.title = told.data; };
</script><iframe width=360 height=3000 frameborder=0 srcdoc="{page}"></iframe>"""
MEASURE = """<script>onload = () => {
const boxes = [...document.querySelectorAll(".scroll")];
const out = [...document.body.querySelectorAll("*")].filter((element) =>
  element.getBoundingClientRect().right > innerWidth && !boxes.some((box) => box.contains(element)));
parent.postMessage(JSON.stringify({page: document.documentElement.scrollWidth, window: innerWidth,
  out: out.map((element) => element.outerHTML.slice(0, 80)),
  boxes: boxes.map((box) => [getComputedStyle(box).overflowX, box.scrollWidth, box.clientWidth])}), "*");
};</script>"""


def pixels(png):
    """How many different rows of pixels a PNG has, of how many."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at:at + 8])
        data += png[at + 8:at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    rows = zlib.decompress(data)
    length = len(rows) // height
    assert length > width
    # Without a row's filter, as it tells of the neighbour above.
    return len({rows[row * length + 1:(row + 1) * length] for row in range(height)}), height


class Statusz(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server("--slow_query=0", "--default_deadline=5s"))
        cls.channel = cls.enterClassContext(grpc.insecure_channel(cls.server.grpc))
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        for _ in range(20):
            cls.channel.unary_unary(f"/{SERVICE}/CountQuotes")(b"")
        program.eventually(lambda: cls.status()["busiest"], 60)

    @classmethod
    def status(cls):
        return json.loads(program.get(cls.server, "/statusz?format=json")[1])

    def chromium(self, *arguments):
        return subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--no-first-run", f"--user-data-dir={self.folder}/profile", *arguments],
            check=True, capture_output=True, timeout=120,
            env=program.ENVIRONMENT | {"HOME": str(self.folder)}).stdout.decode()

    def test_the_json_tells_what_the_server_does(self):
        status = self.status()
        self.assertTrue(status["ready"])
        self.assertEqual(status["schema"], self.server.schema)
        self.assertEqual(status["pool"]["max"], 20)
        self.assertIn("stream", status["cache"]["source"])
        kinds = [connection["kind"] for connection in status["connections"]]
        self.assertEqual(kinds[:2], ["read_lane", "write_lane"])
        busiest = {method["method"]: method for method in status["busiest"]}
        self.assertGreaterEqual(busiest["QuotesService/CountQuotes"]["calls"], 20)
        self.assertEqual(len(busiest["QuotesService/CountQuotes"]["samples"]), len(status["samples"]))

    def test_the_page_is_whole_in_itself(self):
        with urllib.request.urlopen(f"http://{self.server.http}/statusz", timeout=10) as answer:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
            page = answer.read().decode()
        self.assertIn("default-src 'none'", policy)
        self.assertIn("style-src 'unsafe-inline'", policy)
        self.assertFalse([part for part in policy if "script" in part])
        self.assertNotIn("//", page)
        self.assertNotIn("<script", page)
        self.assertNotIn("http-equiv", page)
        self.assertIn('http-equiv="refresh"', program.get(self.server, "/statusz?refresh=10")[1])
        self.assertEqual(program.get(self.server, "/statusz?other")[0], 200)

    def test_nothing_of_what_is_secret_or_said(self):
        for page in program.get(self.server, "/statusz")[1], json.dumps(self.status()):
            self.assertNotIn(str(self.server.folder), page)
            self.assertNotIn("host=", page)
            self.assertNotIn("select", page.lower())

    def test_a_statement_of_a_callers_own_is_told_without_its_text(self):
        stub = database_pb2_grpc.DatabaseServiceStub(self.channel)
        request = database_pb2.FetchRequest(query=query("select pg_sleep(60), '<script>secret'"))
        # By the server's deadline, which a client's own would come before, as a cancel.
        calls = [stub.Fetch.future(request) for _ in range(2)]
        running = program.eventually(lambda: [
            statement for connection in self.status()["connections"]
            for statement in connection["statements"] if statement["fingerprint"]])
        self.assertEqual(running[0]["operation"], "")
        pages = [program.get(self.server, "/statusz")[1], json.dumps(self.status())]
        self.assertIn(f"SQL {running[0]['fingerprint']}", pages[0])
        for call in calls:
            self.assertEqual(call.exception().code().name, "DEADLINE_EXCEEDED")
        failure = program.eventually(lambda: [
            failure for failure in self.status()["failures"] if failure["times"] == 2])[0]
        self.assertEqual(failure["method"], "DatabaseService/Fetch")
        self.assertEqual(failure["code"], "DEADLINE_EXCEEDED")
        pages += [program.get(self.server, "/statusz")[1], json.dumps(self.status())]
        for page in pages:
            self.assertNotIn("pg_sleep", page)
            self.assertNotIn("secret", page)

    def test_a_browser_shows_it(self):
        url = f"http://{self.server.http}/statusz"
        page = self.chromium("--dump-dom", url).replace("<wbr>", "")
        for section in SECTIONS:
            self.assertIn(f'id="{section}"', page)
        self.assertIn("QuotesService/CountQuotes", page)
        self.assertGreaterEqual(page.count("<svg"), 8)
        picture = self.folder / "page.png"
        self.chromium(f"--screenshot={picture}", "--window-size=1200,1600", url)
        different, rows = pixels(picture.read_bytes())
        self.assertEqual(rows, 1600)
        self.assertGreater(different, 300)

    def test_a_phone_shows_it(self):
        page = program.get(self.server, "/statusz")[1].replace("</body>", MEASURE + "</body>")
        copy = self.folder / "phone.html"
        copy.write_text(PHONE.replace("{page}", html.escape(page)))
        shown = self.chromium("--dump-dom", "--virtual-time-budget=5000", copy.as_uri())
        told = json.loads(html.unescape(re.search("<title>(.*?)</title>", shown)[1]))
        self.assertEqual(told["window"], 360)
        self.assertEqual(told["page"], 360, told["out"])
        self.assertEqual(told["out"], [])
        self.assertTrue(told["boxes"])
        for overflow, _, width in told["boxes"]:
            self.assertEqual(overflow, "auto")
            self.assertLess(width, 360)
        # Somebody has to scroll, or the test shows nothing.
        self.assertTrue([box for box in told["boxes"] if box[1] > box[2]])

    def test_it_comes_while_the_database_is_away(self):
        with program.Server() as server:
            for process in server.postgres():
                os.kill(process, signal.SIGSTOP)
            try:
                status, page = program.get(server, "/statusz")
            finally:
                for process in server.postgres():
                    os.kill(process, signal.SIGCONT)
            self.assertEqual(status, 200)
            self.assertIn('id="connections"', page)


if __name__ == "__main__":
    unittest.main()
