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
        self.assertEqual({path.name for path in (PROJECT / "docs").glob("*.md")},
                         {"administration.md", "defects.md", "guide.md", "grpcurl.md", "operations.md",
                          "raw_sql.md", "security.md"})


def all_tests():
    """The names of all tests: `Suite.Case` of C++, `Class.test_name` of Python; and of their files."""
    names = set()
    for path in (PROJECT / "tests").rglob("*_test.cc"):
        names |= {f"{suite}.{case}" for suite, case in
                  re.findall(r"^TEST(?:_[FP])?\((\w+),\s*(\w+)\)", path.read_text(), re.MULTILINE)}
    for path in (PROJECT / "tests").rglob("*_test.py"):
        of = None
        for line in path.read_text().splitlines():
            if match := re.match(r"class (\w+)\(", line):
                of = match[1]
            elif match := re.match(r"    def (test_\w+)", line):
                names.add(f"{of}.{match[1]}")
    files = {path.stem for path in (PROJECT / "tests").rglob("*_test.*")}
    return names, files


class Tables(unittest.TestCase):
    """Tables that say which test shows what name tests that there are."""

    def cells(self, document):
        """Of each row of a table with the column `test`: its first cell, and its last."""
        found, told = False, []
        for line in (PROJECT / document).read_text().splitlines():
            row = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.startswith("|"):
                found = False
            elif row[-1].split()[-1:] == ["test"] or row[-1].startswith("here"):
                found = True
            elif found and set(line) - set("|- "):
                told.append((row[0].strip("| "), row[-1]))
        return told

    def test_each_test_that_they_name_is_there(self):
        names, files = all_tests()
        suites = {name.partition(".")[0] for name in names}
        looked_at = 0
        for document in ("docs/defects.md", "docs/raw_sql.md", "docs/administration.md",
                         "docs/security.md", "cache/README.md"):
            for row, cell in self.cells(document):
                suite = None
                for name in re.findall(r"`([^`]+)`", cell):
                    with self.subTest(document=document, row=row, name=name):
                        looked_at += 1
                        # `file Class.test_name`, `file test_name`, `chaos/file`; `…test_name` of the same.
                        name = re.split(r"[ /]", name)[-1].removeprefix("chaos.")
                        if name.startswith(("…", ".")):
                            name = f"{suite}.{name.lstrip('….')}"
                        # The last two are made of tests/cases.
                        if name in files or name in ("cases", "Cached"):
                            continue
                        if name.startswith("test_"):
                            self.assertTrue(any(each.endswith(f".{name}") for each in names))
                            continue
                        suite, _, case = name.partition(".")
                        self.assertTrue(name in names or case == "*" and suite in suites
                                        or not case and suite in suites)
        self.assertGreater(looked_at, 150)

    def test_each_fault_has_a_row(self):
        rows = {row for document in ("docs/defects.md", "cache/README.md")
                for row, _ in self.cells(document)}
        for kind, count in (("C", 24), ("T", 8), ("R", 12), ("P", 5)):
            self.assertEqual({f"{kind}{n}" for n in range(1, count + 1)} - rows, set())


if __name__ == "__main__":
    unittest.main()
