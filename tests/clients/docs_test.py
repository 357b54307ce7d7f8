"""Every example of docs/ and of the READMEs that users read, run on a server as a reader would run it.

    ```console    commands after `$ ` and what they print; further lines of a command are indented
                  after a line that ends in a backslash, or go on to the end of a `<<'END'`
    ```shell      `serve` with its flags: a server that is there from then on
    ```python     a program, in pieces that go on where the last one ended
    ```text       what the piece of Python before it prints

In what is printed `…` stands for anything in a line, and a line `…` for any lines.
"""

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import grpc

import server as program

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*?<<'END'.*\n(?:.*\n)*?END|(?:.*\\\n)*.*)$", re.MULTILINE)
# Written as if the server had been started with ./run, as root.
GRPC, HTTP, DSN = "127.0.0.1:50051", "127.0.0.1:9464", "host=/var/lib/twi-data port=5432 user=twi dbname=twi"


def words(text):
    """The lines without what only looks: blanks and empty lines."""
    return [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]


def pattern(text):
    """A regular expression for what is to be printed."""
    lines = [r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
             for line in words(text)]
    return "".join(lines)


class Documents(unittest.TestCase):

    def setUp(self):
        self.server = self.enterContext(program.Server())
        self.assertTrue(program.eventually(self.caches, 30))
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        # What examples change is a copy; the programs are those just built.
        shutil.copytree(PROJECT / "sql", self.folder / "sql")
        for name in "clients", "proto", "tests":
            (self.folder / name).symlink_to(PROJECT / name)
        programs = self.folder / "build" / "release"
        programs.mkdir(parents=True)
        (programs / "twi-data").symlink_to(program.PROGRAM)
        (programs / "grpcurl").symlink_to(pathlib.Path(__file__).with_name("grpcurl"))
        (programs / "buf").symlink_to(program.BUF)
        self.environment = program.ENVIRONMENT | {
            "PATH": f"{programs}:{os.environ['PATH']}", "BUF": str(program.BUF),
            "DSN": self.server.dsn}

    def caches(self):
        """Whether the server keeps answers already. Examples suppose one that has run for a while."""
        with grpc.insecure_channel(self.server.grpc) as channel:
            _, call = channel.unary_unary("/twi.data.v1.QuotesService/CountQuotes").with_call(
                b"", timeout=10, metadata=[("x-freshness", "strict")])
            return ("x-cache", "hit") in call.trailing_metadata()

    def here(self, text):
        for written, real in ((GRPC, self.server.grpc), (HTTP, self.server.http),
                              (DSN, self.server.dsn)):
            text = text.replace(written, real)
        return text

    def assert_printed(self, printed, expected):
        text = "".join(line + "\n" for line in words(printed))
        self.assertTrue(re.fullmatch(pattern(self.here(expected)), text), f"\n{printed}")

    def console(self, block):
        parts = COMMAND.split(block)
        self.assertEqual(parts[0], "", "it begins with a command")
        for command, expected in zip(parts[1::2], parts[2::2]):
            with self.subTest(command=command):
                done = subprocess.run(["bash", "-c", self.here(command)], check=False, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, cwd=self.folder, timeout=60,
                                      env=self.environment)
                self.assert_printed(done.stdout, expected)

    def serve(self, command):
        """Starts the server of a command in place of the one before."""
        flags = [re.sub("=", f"={self.folder}/", flag, count=1)
                 for flag in command.partition("serve")[2].split() if flag != "\\"]
        self.server = self.enterContext(program.Server(*flags))

    def run_all(self, document):
        names = {"__name__": "document"}
        printed = None
        blocks = BLOCK.findall((PROJECT / document).read_text())
        self.assertEqual({kind for kind, _ in blocks} - {"console", "shell", "python", "text"},
                         set())
        with contextlib.chdir(self.folder):
            for kind, block in blocks:
                if kind == "console":
                    self.console(block)
                elif kind == "shell":
                    self.serve(block)
                elif kind == "python":
                    with contextlib.redirect_stdout(io.StringIO()) as output:
                        exec(compile(self.here(block), f"{document}:\n{block}", "exec"), names)
                    printed = output.getvalue()
                else:
                    self.assert_printed(printed, block)
                    printed = ""
        return len(blocks)

    def test_readme(self):
        self.assertGreater(self.run_all("README.md"), 0)

    def test_guide(self):
        self.assertGreater(self.run_all("docs/guide.md"), 10)

    def test_examples(self):
        self.assertGreater(self.run_all("tests/clients/examples/README.md"), 2)

    def test_grpcurl(self):
        self.assertGreater(self.run_all("docs/grpcurl.md"), 5)

    def test_administration(self):
        self.assertGreater(self.run_all("docs/administration.md"), 3)

    def test_security(self):
        self.assertGreater(self.run_all("docs/security.md"), 5)

    def test_raw_sql(self):
        self.assertGreater(self.run_all("docs/raw_sql.md"), 0)

    def test_python(self):
        self.assertGreater(self.run_all("clients/python/README.md"), 1)

    def test_operations(self):
        self.assertGreater(self.run_all("docs/operations.md"), 4)


class Others(unittest.TestCase):

    def test_none(self):
        self.assertEqual({path.name for path in (PROJECT / "docs").iterdir()},
                         {"administration.md", "guide.md", "grpcurl.md", "operations.md", "raw_sql.md",
                          "security.md"})


if __name__ == "__main__":
    unittest.main()
