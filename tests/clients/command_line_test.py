"""The commands beside `serve`, and what the program says to a mistake."""

import pathlib
import unittest

from google.protobuf import descriptor_pb2

import server as program

EX_USAGE, EX_UNAVAILABLE = 64, 69


class CommandLine(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(program.Server())
        cls.dsn = f"--dsn={cls.server.dsn}"

    def database(self, name):
        """Makes an empty database beside the served one; its connection string."""
        program.query(self.server.dsn, f"create database {name} template template0")
        return f"{self.server.dsn} dbname={name}"

    def works(self, *arguments, **options):
        result = program.run(*arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_version(self):
        self.assertRegex(self.works("version"), r"^twi-data \d+\.\d+\.\d+")
        self.assertEqual(self.works("--version"), self.works("version"))

    def test_help(self):
        text = self.works("--help")
        for word in ("serve", "migrate", "check", "optimize base|additional", "refresh-views",
                     "maintain", "--embedded_dir", "--listen"):
            self.assertIn(word, text)

    def test_proto(self):
        files = descriptor_pb2.FileDescriptorSet.FromString(self.works("proto", text=False)).file
        by_name = {file.name: file for file in files}
        # Whole: what is imported is there, and before its importer.
        seen = set()
        for file in files:
            self.assertLessEqual(set(file.dependency), seen)
            seen.add(file.name)
        self.assertIn("grpc/health/v1/health.proto", by_name)
        comments = {tuple(location.path): location.leading_comments for location in
                    by_name["twi/data/v1/quotes.proto"].source_code_info.location}
        # Service 0, and its method 0.
        self.assertIn("Quotes of the community.", comments[6, 0])
        self.assertIn("A quote by its `serial_id`.", comments[6, 0, 2, 0])

    def test_check(self):
        self.works("check", self.dsn)
        empty = program.run("check", f"--dsn={self.database('check_empty')}")
        self.assertNotEqual(empty.returncode, 0)
        self.assertIn("quotes.sql", empty.stderr + empty.stdout)

    def test_operations(self):
        golden = pathlib.Path(__file__).with_name("operations.golden")
        self.maxDiff = None
        self.assertEqual(self.works("operations", self.dsn), golden.read_text(),
                         "write it anew with tools/generate")
        self.assertIn("\nQuotesService/DeleteQuote: reads quotes; writes quotes; cache 0\n\n"
                      "    /* QuotesService/DeleteQuote */ delete from quotes\n"
                      "    where serial_id = $1\n    returning 1\n\n",
                      self.works("operations", "--sql", self.dsn))

    def test_migrate(self):
        dsn = f"--dsn={self.database('migrated')}"
        newest = self.server.schema
        self.assertEqual(self.works("migrate", "current", dsn).split()[0], "0")
        self.works("migrate", "up", dsn)
        self.assertEqual(self.works("migrate", "current", dsn).split()[0], str(newest))
        self.works("migrate", "check", dsn)
        self.works("migrate", "history", dsn)
        self.works("migrate", "up", dsn)

        self.works("migrate", "down", "1", dsn)
        self.assertEqual(self.works("migrate", "current", dsn).split()[0], str(newest - 1))
        self.works("migrate", "to", str(newest), dsn)
        self.works("migrate", "check", dsn)
        self.works("migrate", "to", "0", dsn)
        self.assertEqual(self.works("migrate", "current", dsn).split()[0], "0")

    def test_migrate_check_finds_drift(self):
        dsn = self.database("drifted")
        self.works("migrate", "up", f"--dsn={dsn}")
        program.query(dsn, "alter table quotes drop column author")
        drift = program.run("migrate", "check", f"--dsn={dsn}")
        self.assertNotEqual(drift.returncode, 0)
        self.assertIn("author", drift.stdout + drift.stderr)

    def test_a_given_database_is_migrated_when_asked(self):
        dsn = self.database("given")
        with program.Server(f"--dsn={dsn}", "--migrate") as server:
            self.assertIsNone(server.dsn)
            self.assertEqual(server.schema, self.server.schema)
            self.assertEqual(program.get(server, "/readyz")[0], 200)

    def test_health(self):
        self.works("health", f"--listen={self.server.grpc}", f"--http_listen={self.server.http}")
        nobody = program.run("health", "--listen=127.0.0.1:1", "--http_listen=127.0.0.1:1")
        self.assertEqual(nobody.returncode, EX_UNAVAILABLE)

    def test_mistakes_are_told(self):
        # What is mistaken opens no database, and so makes none.
        unused = self.server.folder / "unused"
        for arguments, word in (
                (["serve", "--no_such_flag"], "no_such_flag"),
                (["serve", "--threads=many"], "threads"),
                (["serve", "--max_message_bytes=3"], "max_message_bytes"),
                (["serve", "--listen=nowhere"], "listen"),
                (["serve", "--listen=0.0.0.0:0"], "insecure"),
                (["serve", "--dsn=dbname=x", "--embedded_dir=/x"], "embedded_dir"),
                (["dance"], "dance"),
                (["migrate"], "usage: twi-data migrate"),
                (["migrate", "sideways"], "usage: twi-data migrate"),
                (["migrate", "down", "some"], "usage: twi-data migrate"),
                (["optimize"], "usage: twi-data optimize"),
                (["optimize", "more"], "usage: twi-data optimize"),
                (["maintain", "more"], "usage: twi-data optimize")):
            with self.subTest(arguments=arguments):
                result = program.run(*arguments,
                                     environment={"TWI_DATA_EMBEDDED_DIR": str(unused)})
                self.assertEqual(result.returncode, EX_USAGE, result.stderr)
                self.assertIn(word, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertFalse(unused.exists())

    def test_environment(self):
        result = program.run("serve", environment={
            "TWI_DATA_THREADS": "many", "TWI_DATA_EMBEDDED_DIR": f"{self.server.folder}/unused"})
        self.assertEqual(result.returncode, EX_USAGE)
        self.assertIn("TWI_DATA_THREADS", result.stderr)
        result = program.run("migrate", "current", environment={"TWI_DATA_DSN": self.server.dsn})
        self.assertEqual(result.stdout.split()[0], str(self.server.schema))

    def test_no_database(self):
        for command in (["migrate", "current"], ["optimize", "base"], ["refresh-views"],
                        ["maintain"]):
            result = program.run(*command, "--dsn=host=/nowhere port=1")
            self.assertEqual(result.returncode, EX_UNAVAILABLE)
            self.assertIn("/nowhere", result.stderr)


if __name__ == "__main__":
    unittest.main()
