"""The real program for a test: started on a database of its own, and ended with the test."""

import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PROGRAM = os.environ["TWI_PROGRAM"]
READY = re.compile(r'twi-data ready grpc=(\S+) http=(\S+) schema=(\d+)(?: dsn="([^"]*)")?\n')
TOOLS = pathlib.Path(__file__).parent.parent / "tools" / "node_modules"
BUF = TOOLS / "@bufbuild" / "buf-linux-x64" / "bin" / "buf"
CONTRACT = pathlib.Path(__file__).parents[2] / "proto" / "twi" / "data" / "v1"

# Every service that the protos define, by its full name.
DATA_SERVICES = sorted(f"twi.data.v1.{name}" for proto in CONTRACT.glob("*.proto")
                       for name in re.findall(r"^service (\w+)", proto.read_text(), re.MULTILINE))

# What the caller has set for a database of their own is none of the tests' business.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if name == "TWI_DATA_PG_BIN" or not name.startswith(("PG", "TWI_DATA_"))}


def run(*arguments, environment=None, **options):
    """Runs the program to its end; the result has returncode, stdout and stderr, as text."""
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([PROGRAM, *arguments], check=False, stdin=subprocess.DEVNULL,
                          env=ENVIRONMENT | (environment or {}), **options)


def start(*arguments):
    """Starts the program; the process, which as a context is waited for at the end."""
    return subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)


class Server:
    """`twi-data serve`. As a context it is started at the beginning, stopped and removed at the end.

    It has an embedded database in `folder`, unless the flags or the environment give a DSN. Once
    started, `grpc` and `http` are HOST:PORT, `schema` is a number and `dsn` the embedded database's
    connection string. Where pages are served by TLS, `tls` is to be the context of who gets them.
    """

    def __init__(self, *flags, user=None, environment=None):
        self.user = user
        self.environment = environment or {}
        self.tls = None
        self.process = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="twi-client."))
        # PostgreSQL runs as another user than root, who has to pass through here.
        self.folder.chmod(0o755)
        self.program = PROGRAM
        if user:
            # That user may not reach where it was built.
            self.program = shutil.copy(PROGRAM, self.folder)
            shutil.chown(self.folder, user)
        given = (self.environment.keys() & {"TWI_DATA_DSN", "TWI_DATA_DSN_FILE"} or
                 any(flag.startswith("--dsn=") for flag in flags))
        database = [] if given else [f"--embedded_dir={self.folder}/database"]
        self.flags = ["--listen=127.0.0.1:0", "--http_listen=127.0.0.1:0", "--drain_notice=0",
                      *database, *flags]

    def start(self):
        """Starts it on the data of the last time; returns when it says that it is ready."""
        # Its log goes to a file: a pipe that nobody reads fills up.
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", *self.flags], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, text=True,
                env=ENVIRONMENT | self.environment, cwd="/", user=self.user,
                group=self.user and "nogroup", extra_groups=self.user and [])
        readable, _, _ = select.select([self.process.stdout], [], [], 60)
        line = self.process.stdout.readline() if readable else ""
        match = READY.fullmatch(line)
        if not match:
            self.kill()
            raise AssertionError(f"not ready: {line!r}\n{self.log()}")
        self.grpc, self.http, schema, self.dsn = match.groups()
        self.schema = int(schema)
        return self

    def end(self, number=signal.SIGTERM):
        """Sends the signal; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """The exit code, once it has ended."""
        try:
            return self.process.wait(60)
        finally:
            self.process.stdout.close()

    def kill(self):
        """Ends it without a chance to tidy up."""
        return self.end(signal.SIGKILL)

    def log(self):
        """All that it has written to stderr."""
        return (self.folder / "log").read_text()

    def postgres(self):
        """Ids of the processes of its database that are alive."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            # They live in their data directory. A process may end while it is looked at.
            with contextlib.suppress(OSError):
                if os.readlink(process / "cwd").startswith(str(self.folder)):
                    found.append(int(process.name))
        return found

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()
        eventually(lambda: not self.postgres())
        shutil.rmtree(self.folder)


def get(server, path):
    """Status and text of a page of the HTTP port."""
    url = f"{'https' if server.tls else 'http'}://{server.http}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10, context=server.tls) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(server, name, **labels):
    """The value of the first time series of /metrics with this name and these labels; or None."""
    for line in get(server, "/metrics")[1].splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(
                f'{label}="{text}"' in series for label, text in labels.items()):
            return float(value)
    return None


def eventually(condition, seconds=10):
    """Waits until the condition holds; what it said last."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return result


@contextlib.contextmanager
def transaction(dsn, sql):
    """Somebody else's open transaction, in psql, that has run the SQL."""
    with subprocess.Popen(["psql", "--no-psqlrc", "--quiet", dsn], text=True, env=ENVIRONMENT,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
        psql.stdin.write(f"begin;\n{sql};\n\\echo done\n")
        psql.stdin.flush()
        assert psql.stdout.readline() == "done\n"
        yield
        psql.stdin.write("rollback;\n")


def query(dsn, sql):
    """What psql prints for the SQL, without decoration."""
    return subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", sql, dsn],
        check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.strip()
