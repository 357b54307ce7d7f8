"""A PostgreSQL of the test's own, to be killed and started again."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import server as program

SCRIPT = pathlib.Path(__file__).parent.parent / "support" / "cluster"
BIN = pathlib.Path(os.environ.get("TWI_DATA_PG_BIN", "/usr/lib/postgresql/15/bin"))
# It refuses to run as root; and it must not outlive the test, however that ends.
SETPRIV = ["setpriv", "--pdeathsig=QUIT"] + (
    [] if os.getuid() else ["--reuid=postgres", "--regid=postgres", "--init-groups"])
ACCEPTS = "database system is ready to accept connections"


class Cluster:
    """As a context it runs from the beginning; at the end it is stopped and removed.

    `admin` is the connection string of a superuser, `dsn` that of an ordinary role for the service,
    which owns its database. Settings are lines of postgresql.conf, `access` is one of pg_hba.conf,
    and `prefix` the beginning of the command line that starts it.
    """

    def __init__(self, *settings, access="", prefix=()):
        self.settings = settings
        self.access = access
        self.prefix = prefix
        self.process = None

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="twi-chaos."))
        try:
            return self.make()
        except BaseException:
            self.__exit__()
            raise

    def make(self):
        subprocess.run([SCRIPT, "start", self.folder / "cluster"], check=True,
                       env=program.ENVIRONMENT)
        self.data = pathlib.Path((self.folder / "cluster" / "data_dir").read_text().strip())
        self.log = self.data.parent / "log"
        self.admin = (self.folder / "cluster" / "dsn").read_text().strip()
        # The one that the script has started is nobody's child and could not be waited for.
        os.kill(self.postmaster(), signal.SIGINT)
        program.eventually(lambda: not self.processes())
        with open(self.data / "postgresql.conf", "a") as configuration:
            configuration.writelines(setting + "\n" for setting in self.settings)
        with open(self.data / "pg_hba.conf", "a") as access:
            access.write(self.access + "\n")
        self.start()
        program.query(self.admin, "create role service login")
        program.query(self.admin, "create database service owner service")
        self.dsn = f"host={self.data.parent} port=5432 user=service dbname=service"
        return self

    def __exit__(self, *_):
        left = []
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
            program.eventually(lambda: not self.processes())
            left = self.processes()
        subprocess.run([SCRIPT, "stop", self.folder / "cluster"], check=True,
                       env=program.ENVIRONMENT)
        shutil.rmtree(self.folder)
        if left:
            raise AssertionError(f"processes are left behind: {left}")

    def start(self):
        """Starts it on the data of the last time; returns when it accepts connections."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.prefix, *SETPRIV, BIN / "postgres", "-D", self.data],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=program.ENVIRONMENT, cwd="/")
        if not program.eventually(self.accepts, 60):
            raise AssertionError(self.log.read_text())

    def accepts(self):
        return subprocess.run([BIN / "pg_isready", "--quiet", "--dbname", self.admin],
                              check=False).returncode == 0

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def processes(self):
        """Ids of its processes that are alive."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            # They live in the data directory. A process may end while it is looked at.
            with contextlib.suppress(OSError):
                if os.readlink(process / "cwd") == str(self.data):
                    found.append(int(process.name))
        return found

    def kill(self):
        """Kills every process of it with SIGKILL; returns when all are gone."""
        # The postmaster first: it would take a child's death for a crash, and recover from that.
        os.kill(self.postmaster(), signal.SIGKILL)
        self.process.wait(60)
        while found := self.processes():
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def crash(self, process):
        """Kills one process of it, whereupon it ends all others, recovers and goes on by itself;
        returns when it accepts connections."""
        lives = self.log.read_text().count(ACCEPTS)
        os.kill(process, signal.SIGKILL)
        if not program.eventually(lambda: self.log.read_text().count(ACCEPTS) > lives, 60):
            raise AssertionError(self.log.read_text())

    def session(self):
        """A superuser's session that holds one of max_connections until the socket is closed; None
        when none is left."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{self.data.parent}/.s.PGSQL.5432")
        # The start-up message of protocol 3.0, which is answered R or E.
        start = struct.pack("!I", 3 << 16) + b"user\0twi\0database\0postgres\0\0"
        connection.sendall(struct.pack("!I", 4 + len(start)) + start)
        if connection.recv(1) == b"R":
            return connection
        connection.close()
        return None
