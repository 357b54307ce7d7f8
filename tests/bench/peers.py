"""Services that others would write, of well-known libraries, on a database of the service's. Those whose libraries are
not there are left out."""

import importlib.util
import shutil

import bench
import calls

# The peer's name for each, and the modules without which it is left out.
PYTHON = {"grpc.aio, asyncpg": ("asyncpg", ["asyncpg"]),
          "grpc.aio, SQLAlchemy, asyncpg": ("sqlalchemy", ["asyncpg", "sqlalchemy"])}
NODE, THREADS = "grpc-js, pg", "C++, a thread a call, libpqxx"


def there(modules):
    return all(importlib.util.find_spec(module) for module in modules)


def started(stack, flags, directory, dsn, statements):
    """{name: (target, process id)} of those whose libraries are there, which end with the stack."""
    processes = {THREADS: calls.peer(flags, directory, dsn, statements)}
    commands = {
        name: ["/usr/bin/python3", bench.HERE / "python_peer.py", kind, f"--dsn={dsn}",
               f"--stubs={flags.build / 'tests/clients/stubs'}"]
        for name, (kind, modules) in PYTHON.items() if there(modules)}
    if shutil.which("node") and (bench.ROOT / "tests/tools/node_modules/pg").exists():
        commands[NODE] = ["node", bench.HERE / "node_peer.js", dsn]
    for name, command in commands.items():
        processes[name] = bench.Process(name, directory, command, r"^ready (\d+)$")
    return {name: (f"127.0.0.1:{stack.enter_context(process).ready_values[0]}", process.pid)
            for name, process in processes.items()}
