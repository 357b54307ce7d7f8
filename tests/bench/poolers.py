"""What others put before PostgreSQL instead of a service: PgBouncer, and Pgpool-II with its cache of answers. Each
listens on a Unix socket in the bench's directory alone."""

import os
import shutil
import subprocess
import sys
import time

import bench
import calls

PGBOUNCER = """
[databases]
{dbname} = host={host} port={port} user={user} dbname={dbname}
[pgbouncer]
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 16
"""
# A client has a process and a connection of its own.
PGPOOL = f"""
backend_clustering_mode = 'raw'
backend_hostname0 = '{{host}}'
backend_port0 = {{port}}
listen_addresses = ''
pcp_listen_addresses = ''
port = 6432
socket_dir = '{{folder}}'
pcp_socket_dir = '{{folder}}'
pid_file_name = '{{folder}}/pgpool.pid'
logdir = '{{folder}}'
num_init_children = {calls.MOST_CLIENTS}
max_pool = 1
memory_cache_enabled = on
memqcache_method = 'shmem'
memqcache_oiddir = '{{folder}}'
"""


class Pooler(bench.Process):
    """A pooler before a database: ready once it answers, ended on leaving."""

    def __init__(self, name, directory, dsn, settings, *options):
        words = dict(word.split("=") for word in dsn.split())
        folder = directory / name
        folder.mkdir(exist_ok=True)
        file = folder / "settings"
        file.write_text(settings.format(folder=folder, **words))
        command = [path(name), *options, file]
        if os.geteuid() == 0:
            # They do not run as root, and the database's socket is its user's alone.
            for each in folder, file:
                shutil.chown(each, "postgres", "postgres")
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        super().__init__(name, directory, command, None)
        self.dsn = f"host={folder} port=6432 user={words['user']} dbname={words['dbname']}"

    def wait_until_ready(self):
        for _ in range(300):
            if subprocess.run(["psql", "-XAtq", "-c", "select 1", "-d", self.dsn], check=False,
                              capture_output=True).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"{self.name} did not get ready:\n{self.err.read_text()[-2000:]}")


def path(program):
    """Debian has both where only root looks."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")


def measured(database, operation, clients):
    """Yields (what, figures) of an operation's statement, by pgbench to PostgreSQL itself and through each
    pooler that is there."""
    yield "pgbench, prepared", database.pgbench(operation, clients)
    if path("pgbouncer"):
        with Pooler("pgbouncer", database.directory, database.dsn, PGBOUNCER, "--quiet") as pooler:
            # What is prepared stays behind when a transaction's connection is another's.
            yield "pgbench, PgBouncer, simple", database.pgbench(operation, clients, "simple", pooler)
    if path("pgpool"):
        with Pooler("pgpool", database.directory, database.dsn, PGPOOL, "-n", "-D", "-f") as pooler:
            for mode in "simple", "prepared":
                before = hits(pooler)
                figures = database.pgbench(operation, clients, mode, pooler)
                share = (hits(pooler) - before) / figures["all_calls"]
                if share < (0.1 if database.flags.quick else 0.9):
                    sys.exit(f"of Pgpool-II's answers only {share:.0%} came from its cache")
                yield f"pgbench, Pgpool-II's cache, {mode}", figures


def hits(pgpool):
    """How many answers came from its cache so far."""
    return int(bench.sql(pgpool.dsn, "show pool_cache").split("|")[0])
