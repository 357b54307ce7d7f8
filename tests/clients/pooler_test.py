"""A server behind PgBouncer in session mode, as docs/operations.md says."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import grpc

import server as program

SETTINGS = """
[databases]
twi = host={database} port=5432 user=twi dbname=twi
[pgbouncer]
unix_socket_dir = {folder}
auth_type = any
pool_mode = session
default_pool_size = 60
"""


class Pooler(unittest.TestCase):

    def start(self, database):
        """PgBouncer before a server's database; the DSN through it."""
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        settings = folder / "pgbouncer.ini"
        settings.write_text(SETTINGS.format(database=database.folder / "database", folder=folder))
        # It does not run as root, and the socket is the database's user's alone.
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user)
        # Debian has it where only root looks.
        binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        process = subprocess.Popen([binary, "--quiet", settings], user=user, group=user,
                                   extra_groups=user and [], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        dsn = f"host={folder} port=6432 user=twi dbname=twi"
        self.assertTrue(program.eventually(lambda: answers(dsn), 60))
        return dsn

    def test_session_mode(self):
        database = self.enterContext(program.Server())
        dsn = self.start(database)
        server = self.enterContext(program.Server("--migrate", environment={"TWI_DATA_DSN": dsn}))
        # No replication comes through.
        self.assertTrue(program.eventually(
            lambda: program.metric(server, "twi_data_cache_source", source="outbox") == 1, 60))
        with grpc.insecure_channel(server.grpc) as channel, concurrent.futures.ThreadPoolExecutor(16) as pool:
            create = channel.unary_unary("/twi.data.v1.QuotesService/CreateQuote")
            search = channel.unary_unary("/twi.data.v1.QuotesService/SearchQuotes")
            # quote, and search: "hello"
            calls = [pool.submit(call, b"\x0a\x05hello", timeout=30)
                     for _ in range(50) for call in (create, search)]
            for call in calls:
                call.result()
        self.assertEqual(program.query(database.dsn, "select count(*) from quotes"), "50")
        self.assertEqual(server.end(), 0)


def answers(dsn):
    return subprocess.run(["psql", "--no-psqlrc", "--command", "select 1", dsn], check=False,
                          capture_output=True, env=program.ENVIRONMENT).returncode == 0


if __name__ == "__main__":
    unittest.main()
