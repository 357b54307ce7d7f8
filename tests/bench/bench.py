"""What the benches share: the servers that they start, what those cost, and the calls."""

import contextlib
import json
import os
import pathlib
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


def twi_data(flags, directory):
    """The service on an embedded database; its ready values are the target and the DSN."""
    return Process(
        "twi-data", directory,
        [flags.build / "twi-data", "serve", f"--embedded_dir={directory / 'db'}",
         "--listen=127.0.0.1:0", "--http_listen=127.0.0.1:0", "--threads=1", "--drain_notice=0s"],
        r'^twi-data ready grpc=(\S+) .*dsn="([^"]+)"$')


def sql(dsn, *commands):
    arguments = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", dsn, *arguments],
        check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


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
