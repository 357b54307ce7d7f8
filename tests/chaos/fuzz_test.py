"""Whatever bytes come, to whichever method: the server lives, each call is answered with a status that
is no fault of its own, and it ends in order, so that a sanitizer has found nothing either.

Longer: TWI_TEST_SECONDS=600 ctest --preset dev -R chaos.fuzz --verbose"""

import os
import pathlib
import subprocess
import unittest

import cluster
import server as program

FUZZ = os.environ["TWI_FUZZ"]
SECONDS = os.environ.get("TWI_TEST_SECONDS", "10")
FOLDERS = [pathlib.Path(__file__).parents[1] / "cases", pathlib.Path(__file__).parent / "fuzz"]
PRINCIPAL = 'principal { name: "fuzz" allow: "*" raw_sql: true administration: true }\n'


class Fuzz(unittest.TestCase):

    def setUp(self):
        # As an ordinary role: what the text of a statement becomes may not run programs or write files.
        self.cluster = self.enterContext(cluster.Cluster())
        done = program.run("token", "new", "fuzz")
        token, line = done.stdout.splitlines()
        self.token = token
        access = self.cluster.folder / "access.textproto"
        access.write_text(PRINCIPAL + line)
        self.server = self.enterContext(program.Server(
            f"--dsn={self.cluster.dsn}", "--migrate", f"--access_file={access}", "--shutdown_grace=20s"))

    def test_every_input_is_answered(self):
        done = subprocess.run(
            [FUZZ, f"--target={self.server.grpc}", f"--token={self.token}", f"--seconds={SECONDS}",
             f"--cases={','.join(map(str, FOLDERS))}"],
            check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        print(done.stdout, flush=True)
        self.assertIsNone(self.server.process.poll(), self.server.log()[-10000:])
        self.assertEqual(done.returncode, 0, self.server.log()[-2000:])
        # It is done with all of them, whether or not their callers have waited.
        self.assertTrue(program.eventually(lambda: self.in_flight() == 0, 60), self.in_flight())
        self.assertEqual(program.get(self.server, "/readyz"), (200, "ok\n"))
        self.assertEqual(program.run("health", f"--listen={self.server.grpc}").returncode, 0)
        self.assertEqual(self.server.end(), 0, self.server.log()[-10000:])
        self.assertEqual(program.query(
            self.cluster.admin, "select count(*) from pg_stat_activity where usename = 'service'"), "0")

    def in_flight(self):
        """Calls that the server is at, of all methods."""
        return sum(float(line.rpartition(" ")[2])
                   for line in program.get(self.server, "/metrics")[1].splitlines()
                   if line.startswith("grpc_server_in_flight"))


if __name__ == "__main__":
    unittest.main()
