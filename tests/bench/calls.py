"""Operations as everybody sends them who is measured, and what a call of theirs costs."""

import json
import math
import re
import subprocess
import sys
import time

import bench
import traffic

STREAM = 128  # messages: as many as the service saves in a transaction
STREAMS = {"ImportMessages"}
# PostgreSQL takes 100 connections, of which the service and the peer have some.
MOST_CLIENTS = 60


class Operation:
    """An operation as a request to a server, and as its own statement to pgbench."""

    def __init__(self, name, service, request, response_bytes, scripts, variables=(), stream=0,
                 file=None, fill=(), saved=None):
        self.name = name
        self.method = f"/twi.data.v1.{service}/{name}"
        self.request = request  # flags of the load client
        self.response_bytes = response_bytes  # a shorter answer is a wrong one
        self.scripts = scripts  # pgbench's, with how many of a hundred calls each is
        self.variables = variables  # pgbench's -D
        self.stream = stream  # requests of a call, each counted as one; 0: not a stream
        self.file = file  # of requests, none of which may be sent twice; then it writes messages
        self.fill = fill  # SQL that makes what those requests find
        self.saved = saved  # how many messages are there after so many of them, if not as many


class Requests:
    """Files of messages to save, each of them new."""

    def __init__(self, directory, count, first=1):
        self.count = count
        self.saved, self.created = directory / "saved", directory / "created"
        with self.saved.open("w") as saved, self.created.open("w") as created:
            for one, other in traffic.Traffic().requests(first, count):
                saved.write(one + "\n")
                created.write(other + "\n")


def bound(statement, values):
    """A prepared statement with pgbench's expressions for its parameters."""
    return re.sub(r"\$(\d+)", lambda found: values[int(found.group(1)) - 1], statement) + ";\n"


def get_quote(statements, rows):
    return Operation("GetQuote", "QuotesService", [f"--int64_max={rows}"], 50,
                     [(100, f"\\set id random(1, {rows})\n"
                       + bound(statements["GetQuote"], [":id"]))])


def list_quotes(statements):
    # One row more than the page shows whether there is another.
    return Operation("ListQuotes", "QuotesService", ["--int64_min=50", "--int64_max=50"], 50 * 50,
                     [(100, "\\set size 51\n" + bound(statements["ListQuotes"], [":size"]))])


NEW_ID = "\\set id random(1000000000000, 4000000000000000000)\n"


def create_message(statements, requests):
    values = {"time": "2017-07-14 02:40:00", "text": "word " * 17, "user": "user 7", "server": "Inn",
              "channel": "channel 7", "nick": "nick",
              "url": "https://discord.com/channels/1/7/1000000000"}
    parameters = [":id", ":time", ":text", ":user", ":server", "1", "7", ":channel", "7", ":nick",
                  ":url", "false", "false", "null"]
    return Operation("CreateMessage", "MessagesService", [], 1,
                     [(100, NEW_ID + bound(statements["CreateMessage"], parameters))],
                     [f"{name}={value}" for name, value in values.items()], file=requests.created)


def save_messages(statements, requests, name, stream):
    """SaveMessage or, with a stream, ImportMessages."""
    scripts, variables = [], []
    for kind, (weight, document) in enumerate(traffic.documents()):
        variables.append(f"document{kind}={document}")
        # Ids of its own for the message, and for the file that one kind has.
        own = f":document{kind}::jsonb"
        for path in "{message,message_id}", "{message,attachments,0,id}":
            own = f"jsonb_set({own}, '{path}', to_jsonb(:id::bigint + i), false)"
        many = f"(select jsonb_agg({own}) from generate_series(1, {max(stream, 1)}) i)"
        scripts.append((weight, NEW_ID + bound(statements[name], [many])))
    return Operation(name, "MessagesService", [], 1, scripts, variables, stream, requests.saved)


def operations(statements, requests, rows):
    return [get_quote(statements, rows), list_quotes(statements),
            create_message(statements, requests),
            save_messages(statements, requests, "SaveMessage", 0),
            save_messages(statements, requests, "ImportMessages", STREAM)]


class Database:
    """The database below those who are measured, and what it costs."""

    def __init__(self, flags, directory, dsn, requests):
        self.flags, self.directory, self.dsn, self.requests = flags, directory, dsn, requests
        self.postmaster = bench.postmaster(dsn)
        traffic.prepare(self.sql)

    def sql(self, *commands):
        return bench.sql(self.dsn, *commands)

    def cpu(self):
        return bench.tree_cpu(self.postmaster)

    def call(self, operation, outstanding, target, process):
        """Figures of an operation of one server. Every call must go well, and save what it says."""
        limits = []
        if operation.file:
            traffic.forget(self.sql)
            if operation.fill:
                self.sql(*operation.fill)
            limits = [f"--requests_file={operation.file}",
                      f"--max_calls={self.requests.count // (operation.stream or 1)}"]
        before = bench.process_cpu(process), self.cpu()
        figures = bench.load(self.flags, target, outstanding, f"--method={operation.method}",
                             f"--stream={operation.stream}", *operation.request, *limits)
        after = bench.process_cpu(process), self.cpu()
        if figures["errors"] or figures["response_bytes"] < operation.response_bytes:
            sys.exit(f"{operation.name} x{outstanding}: {figures}")
        messages = operation.stream or 1
        figures["calls_per_second"] *= messages
        figures["client_cpu_us"] /= messages
        calls = figures["all_calls"] * messages
        figures["server_us"], figures["postgres_us"] = (
            1e6 * (b - a) / calls for a, b in zip(before, after))
        expected = operation.saved[calls] if operation.saved else calls
        if operation.file and (saved := int(self.sql("select count(*) from messages"))) != expected:
            sys.exit(f"{operation.name} x{outstanding}: {saved} messages, not {expected}, by {figures}")
        return figures

    def pgbench(self, operation, outstanding, mode="prepared", through=None):
        """pgbench with the statement of the operation, perhaps through a pooler; connecting is not counted."""
        if operation.file:
            traffic.forget(self.sql)
        clients = min(outstanding, MOST_CLIENTS)
        command = ["pgbench", "-n", "-M", mode, "-c", str(clients), "-j", str(min(clients, 2)),
                   *(f"-D{v}" for v in operation.variables)]
        for number, (weight, script) in enumerate(operation.scripts):
            file = self.directory / f"pgbench{number}.sql"
            file.write_text(script)
            command.append(f"-f{file}@{weight}")
        # Connections and plans of their own cost the first call of each client far more.
        first, _ = self.pgbench_cpu([*command, "-t", "1"], through)
        cpu, report = self.pgbench_cpu([*command, "-T", str(math.ceil(self.flags.seconds))], through)
        calls = int(re.search(r"actually processed: (\d+)", report).group(1)) - clients
        if not re.search(r"failed transactions: 0 ", report):
            sys.exit(f"pgbench {operation.name} x{outstanding}: {report}")
        messages = operation.stream or 1
        figures = {
            "all_calls": calls,
            "calls_per_second": messages * float(re.search(r"tps = ([\d.]+)", report).group(1))}
        for name, before, after in zip(("postgres_us", "server_us"), first, cpu):
            # A pooler that knows all answers leaves PostgreSQL less to do than the first calls were.
            figures[name] = max(0.0, 1e6 * (after - before) / (calls * messages))
        return figures

    def pgbench_cpu(self, command, through):
        """([CPU of Postgres, of a pooler], what pgbench printed)."""
        def cpu():
            return [self.cpu(), *([bench.tree_cpu(through.pid)] if through else [])]
        before = cpu()
        report = subprocess.run([*command, through.dsn if through else self.dsn], check=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        time.sleep(0.2)  # until its backends have ended
        return [b - a for a, b in zip(before, cpu())], report


def empty_call(flags, server, outstanding, *more):
    """Figures of the empty handler, with more flags for the load client."""
    before = bench.process_cpu(server.pid)
    figures = bench.load(flags, f"127.0.0.1:{server.ready_values[0]}", outstanding,
                         "--method=/empty/Empty", *more)
    if figures["errors"] or figures["response_bytes"] < 100:
        sys.exit(f"{server.name} x{outstanding}: {figures}")
    used = bench.process_cpu(server.pid) - before
    return figures | {"server_us": 1e6 * used / figures["all_calls"], "postgres_us": 0.0}


def peer(flags, directory, dsn, statements):
    """The peer on the service's database; its ready value is the port."""
    file = directory / "statements.json"
    wanted = ("GetQuote", "ListQuotes", "CreateMessage", "SaveMessage", "ImportMessages", "UpsertReaction")
    file.write_text(json.dumps({name: statements[name] for name in wanted}))
    return bench.Process("peer", directory,
                         [flags.build / "tests/bench/peer", f"--dsn={dsn}", f"--statements={file}"],
                         r"^ready (\d+)$")
