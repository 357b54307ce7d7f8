"""What the benches share: the servers that they start, what those cost, and the calls."""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """(parent, own CPU, CPU of ended children), the times in seconds; None once it has gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    user, system, child_user, child_system = map(int, fields[11:15])
    return int(fields[1]), (user + system) / TICKS, (child_user + child_system) / TICKS


def process_cpu(pid):
    return stat(pid)[1]


def tree_cpu(pid):
    """CPU of a process and all below it, the ended ones included."""
    stats = {int(p.name): stat(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()}
    total, waiting = 0.0, [pid]
    while waiting:
        parent = waiting.pop()
        total += sum(stats[parent][1:])
        waiting += [child for child, of in stats.items() if of and of[0] == parent]
    return total


def memory(pid, what):
    """MiB: VmRSS, or VmHWM, the most so far or since the peak was forgotten."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024


class Process:
    """A server of ours: started, ready once it has printed a line, ended on leaving."""

    def __init__(self, name, directory, command, ready):
        self.name, self.command, self.ready = name, command, ready
        self.out, self.err = directory / f"{name}.out", directory / f"{name}.err"

    def __enter__(self):
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=err)
        self.pid = self.process.pid
        try:
            self.ready_values = self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_ready(self):
        for _ in range(600):
            if found := re.search(self.ready, self.out.read_text(), re.M):
                return found.groups()
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"{self.name} did not get ready:\n{self.err.read_text()[-2000:]}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def workplace():
    """A directory that goes in the end, also when this process is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # through the ends of the servers
    directory = pathlib.Path(tempfile.mkdtemp(prefix="twi-bench."))
    directory.chmod(0o711)  # the user postgres passes through when this runs as root
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def twi_data(flags, directory, *options, name="twi-data"):
    """The service on an embedded database, without a cache unless told; its ready values are the target and the DSN."""
    return Process(
        name, directory,
        [flags.build / "twi-data", "serve", f"--embedded_dir={directory / f'{name}.db'}",
         "--listen=127.0.0.1:0", "--http_listen=127.0.0.1:0", "--threads=1", "--drain_notice=0s",
         # Of two of one name the last counts.
         "--cache_entries=0", *options],
        r'^twi-data ready grpc=(\S+) .*dsn="([^"]+)"$')


def empty_server(flags, directory, *options, name="empty_server"):
    """A server that does nothing; its ready value is the port."""
    return Process(name, directory, [flags.build / "tests/bench/empty_server", *options],
                   r"^ready (\d+)$")


def statements(flags, dsn):
    """The statement of each operation as the service prepares it."""
    printed = subprocess.run([flags.build / "twi-data", "operations", "--sql", f"--dsn={dsn}"],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(re.findall(r"^\w+/(\w+):.*\n\n((?:    .*\n|\n(?=    ))+)", printed, re.M))


def postmaster(dsn):
    """The process id of an embedded database's first process."""
    data = pathlib.Path(sql(dsn, "show data_directory"))
    return int((data / "postmaster.pid").read_text().split()[0])


def fill_quotes(dsn, rows):
    sql(dsn, "truncate quotes restart identity",
        "insert into quotes (quote, author, author_id, time)"
        " select 'Quote ' || i || ': ' || repeat('level by level ', 5), 'Erin Solstice', i,"
        f" timestamptz '2016-07-27' + i * interval '1 hour' from generate_series(1, {rows}) i",
        "vacuum analyze quotes", "checkpoint")


def circumstances(flags, dsn):
    """What the figures of a run are of, for the line above its table."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    grpc = subprocess.run(["pkg-config", "--modversion", "grpc++"], stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    postgres = sql(dsn, "show server_version").split()[0]
    return (f"{datetime.date.today()}: {os.cpu_count()} cores, {cpu.group(1) if cpu else 'CPU ?'}, "
            f"Linux {platform.release()}, gRPC {grpc}, PostgreSQL {postgres} "
            f"(fsync {sql(dsn, 'show fsync')}); medians of {flags.reps} runs of {flags.seconds:g} s.")


def table(titles, rows, words=1):
    """In Markdown; all but the first column, or the first ones, are numbers."""
    lines = [titles, ["---"] * words + ["---:"] * (len(titles) - words), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def report(flags, name, text, readme=HERE / "README.md"):
    """Prints it and, but for quick runs, writes it in its place in README.md."""
    print(text)
    if flags.quick:
        return
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = readme.read_text().split(begin)
    readme.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
    print(f"\nwritten into {os.path.relpath(readme)}")


def flags_of(parser, quick):
    """The flags of a bench. With --quick those in `quick` have these values."""
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--quick", action="store_true")
    flags = parser.parse_args()
    if flags.quick:
        vars(flags).update(quick)
    flags.build = flags.build.resolve()
    for program in "twi-data", "tests/bench/load", "tests/bench/tables_only":
        if not (flags.build / program).exists():
            sys.exit(f"{flags.build / program} is not built: cmake --build --preset release")
    return flags


def sql(dsn, *commands):
    arguments = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn, *arguments],
        check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def asyncpg_words(dsn):
    """A connection string as asyncpg takes it."""
    words = dict(word.split("=") for word in dsn.split())
    return {"host": words["host"], "port": int(words["port"]), "user": words["user"],
            "database": words["dbname"]}


def load(flags, target, outstanding, *arguments):
    """One run of the load client: its report."""
    return json.loads(subprocess.run(
        [flags.build / "tests/bench/load", f"--target={target}", f"--outstanding={outstanding}",
         f"--seconds={flags.seconds}", f"--warmup={flags.seconds / 6}", *arguments],
        check=True, stdout=subprocess.PIPE, text=True).stdout)


def varint(value):
    """A number in protobuf's wire format."""
    encoded = b""
    while value > 0x7f:
        encoded += bytes([value & 0x7f | 0x80])
        value >>= 7
    return encoded + bytes([value])
