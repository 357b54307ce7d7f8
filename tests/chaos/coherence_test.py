"""No replica gives a stale answer, whoever writes and whatever breaks: coherence_checker says so,
and shows with each of its mutants that it would see one."""

import contextlib
import glob
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import grpc

import cluster
import server as program
from slow_streams import SlowStreams

CHECKER = os.environ["TWI_CHECKER"]
# How many reads are checked at least, and how long each fault goes on.
READS = int(os.environ.get("TWI_TEST_READS", 1_000_000))
SECONDS = float(os.environ.get("TWI_TEST_SECONDS", 3))

STORM = """
drop table if exists storm;
create table storm (k bigint primary key, v bigint);
alter publication twi_data add table storm;
insert into storm values (1, 1);
alter table storm add column more text;
begin;
alter table reg_part detach partition reg_part_0;
alter table reg_part attach partition reg_part_0 for values with (modulus 2, remainder 0);
commit;
alter publication twi_data drop table reg_log;
select pg_sleep(random() * 0.2);
alter publication twi_data add table reg_log;
alter table reg_child replica identity full;
alter table reg_log add column extra bigint;
create or replace view reg_view as select k, v from reg where k >= 0;
alter table reg_log drop column extra;
alter table reg_child replica identity default;
create or replace view reg_view as select k, v from reg;
drop table storm;
select pg_sleep(random() * 0.2);
"""
MANY_ROWS = """
insert into reg select k, 1 from generate_series(10000, 210000) k
on conflict (k) do update set v = reg.v + 1
"""


class Checker:
    """The checker at work on a database. As a context it is ended at the end."""

    def __init__(self, dsn, *flags, environment=None):
        self.replicas = {}
        self.told = {"reads": 0, "hits": 0, "violations": 0}
        self.stderr = []
        self.process = subprocess.Popen([CHECKER, f"--dsn={dsn}", *flags], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE,
                                        env=program.ENVIRONMENT | (environment or {}))
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self):
        for line in self.process.stderr:
            if match := re.fullmatch(r"replica (\d) is process (\d+)\n", line):
                self.replicas[int(match[1])] = int(match[2])
            elif line.startswith('{"seconds"'):
                self.told = json.loads(line)
            else:
                self.stderr.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.listener.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def result(self, seconds=700):
        """What it found, with its exit code, once it has ended."""
        self.process.wait(seconds)
        output = self.process.stdout.read()
        self.listener.join()
        if not output:
            raise AssertionError("".join(self.stderr))
        return json.loads(output) | {"code": self.process.returncode}

    def end(self):
        self.process.terminate()
        return self.result()

    def now(self):
        """The figures as of now or later."""
        before = self.told
        if not program.eventually(lambda: self.told is not before, 60):
            raise AssertionError("".join(self.stderr))
        return self.told


class Server:
    """One replica of the registers, alone."""

    def __init__(self, dsn, mutant):
        self.process = subprocess.Popen(
            [CHECKER, "--replica", f"--dsn={dsn}", f"--mutant={mutant}"], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=program.ENVIRONMENT)
        self.channel = grpc.insecure_channel(self.process.stdout.readline().strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, key):
        """The register's version, and where the answer came from; of both no more than 127."""
        method = self.channel.unary_unary("/twi.test.v1.RegistersService/Get")
        answer, call = method.with_call(bytes([8, key]), timeout=10)
        return answer[1], dict(call.trailing_metadata())["x-cache"]


class Transaction:
    """An open transaction that has a number, `xid`; in the end it is rolled back."""

    def __init__(self, dsn):
        self.psql = subprocess.Popen(
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", dsn], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=program.ENVIRONMENT)
        self.psql.stdin.write("begin;\nselect pg_current_xact_id();\n")
        self.psql.stdin.flush()
        self.xid = int(self.psql.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.psql.communicate("rollback;\n")


class Coherence(unittest.TestCase):

    def setUp(self):
        self.cluster = self.enterContext(cluster.Cluster("max_connections = 100"))
        self.databases = 0
        self.make_database()

    def make_database(self):
        """A new one, whose changes are durable only for those who ask for it."""
        self.databases += 1
        name = f"registers_{self.databases}"
        self.admin(f"create database {name}")
        self.admin(f"alter database {name} set synchronous_commit = local")
        self.dsn = self.cluster.admin.replace("dbname=postgres", f"dbname={name}")

    def admin(self, sql):
        return program.query(self.cluster.admin, sql)

    def assert_coherent(self, found):
        self.assertEqual((found["code"], found["violations"], found["first"]), (0, 0, []), found)
        self.assertGreater(found["hits"], 0, found)

    def test_every_mutant_is_caught(self):
        mutants = subprocess.run([CHECKER, "--mutants"], check=True, capture_output=True,
                                 text=True).stdout.split()
        self.assertGreaterEqual(len(mutants), 10)
        for mutant in sorted(set(mutants) - {"unready"}):
            with self.subTest(mutant):
                self.make_database()
                flags = ["--break_streams"] if mutant == "seamless" else []
                with Checker(self.dsn, f"--mutant={mutant}", "--seconds=600", "--pause_ms=10",
                             *flags) as checker:
                    found = checker.result()
                print(f"{mutant}: {found['seconds']:.1f} s, {found['reads']} reads:",
                      *found["first"][:1], flush=True)
                self.assertEqual(found["code"], 2, found)

    def test_nothing_is_stale_whatever_breaks(self):
        begin = time.monotonic()
        with Checker(self.dsn, "--seconds=86400") as self.checker:
            self.assertTrue(program.eventually(lambda: self.checker.told["hits"] > 1000, 60))
            for happen in (self.kill_a_replica, self.stop_a_replica, self.break_streams,
                           self.stop_streams, self.hold_commits, self.hold_openings,
                           self.change_many_rows, self.change_the_schema,
                           self.restart_the_database):
                self.suffer(happen)
            reads = 0
            while (told := self.checker.now())["reads"] < READS:
                self.assertEqual(told["violations"], 0)
                # Not for ever.
                self.assertTrue(program.eventually(lambda: self.checker.told["reads"] > reads, 60))
                reads = self.checker.told["reads"]
            found = self.checker.end()
        print(f"in all {found['reads']} reads, {found['hits']} hits, {found['joins']} joins, "
              f"{found['writes']} + {found['direct_writes']} writes, {found['errors']} errors, "
              f"{found['violations']} violations, {time.monotonic() - begin:.0f} s", flush=True)
        self.assert_coherent(found)

    def suffer(self, happen, name=None):
        """Lets it happen again and again, for SECONDS; then there must be hits again."""
        name = name or happen.__name__.replace("_", " ")
        before = self.checker.now()
        begin = time.monotonic()
        while True:
            happen()
            if time.monotonic() > begin + SECONDS:
                break
        took = time.monotonic() - begin
        after = self.checker.now()
        self.assertTrue(
            program.eventually(lambda: self.checker.told["hits"] > after["hits"] + 100, 60),
            f"{name}: {self.checker.told} after {after}")
        last = self.checker.told
        print(f"{name}, {took:.1f} s: {last['reads'] - before['reads']} reads, "
              f"{last['hits'] - before['hits']} hits, of them {last['hits'] - after['hits']} in "
              f"{last['seconds'] - after['seconds']:.1f} s afterwards, "
              f"{last['violations'] - before['violations']} violations", flush=True)
        if last["violations"]:
            self.fail(f"{name}: {self.checker.end()}")

    def test_the_outbox(self):
        with Checker(self.dsn, "--source=outbox", f"--seconds={4 * SECONDS}") as checker:
            found = checker.result(4 * SECONDS + 60)
        print(f"outbox: {found}", flush=True)
        self.assert_coherent(found)
        self.make_database()
        with Checker(self.dsn, "--source=outbox", "--mutant=orderly", "--seconds=600",
                     "--pause_ms=10") as checker:
            found = checker.result()
        print(f"outbox, orderly: {found['seconds']:.1f} s, {found['reads']} reads:",
              *found["first"][:1], flush=True)
        self.assertEqual(found["code"], 2, found)

    def test_cancelled_calls(self):
        with Checker(self.dsn, f"--seconds={SECONDS}", "--cancels=500") as checker:
            found = checker.result(SECONDS + 60)
        print(f"cancelled calls: {found}", flush=True)
        self.assertGreater(found["errors"], found["reads"] // 10)
        self.assert_coherent(found)

    def test_clocks_that_are_set(self):
        """An hour on, two back, one on: to all processes but the database."""
        library, = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        with tempfile.TemporaryDirectory() as folder:
            clock = pathlib.Path(folder) / "clock"
            clock.write_text("+0")
            environment = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock),
                           "FAKETIME_CACHE_DURATION": "0", "FAKETIME_DONT_RESET": "1",
                           "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            shown = subprocess.run(["date", "+%s"], capture_output=True, check=True,
                                   env=environment | {"FAKETIME_TIMESTAMP_FILE": "/dev/null",
                                                      "FAKETIME": "+1h"})
            self.assertGreater(int(shown.stdout), time.time() + 3000)
            with Checker(self.dsn, "--seconds=86400", environment=environment) as self.checker:
                for offset in ("+0", "+1h", "-1h", "+0"):
                    clock.write_text(offset)
                    self.suffer(self.wait, f"clock set to {offset}")
                found = self.checker.end()
        self.assert_coherent(found)
        # A call's deadline is a time of the clock, and may be over when that is set.
        self.assertLess(found["errors"], found["reads"] // 1000)

    def test_slow_streams(self):
        server = f"{self.cluster.data.parent}/.s.PGSQL.5432"
        with SlowStreams(server) as way, Checker(
                # Of two settings of one name the last counts.
                f"{self.dsn} host=127.0.0.1 port={way.port} sslmode=disable gssencmode=disable",
                "--seconds=86400") as self.checker:
            self.assertTrue(program.eventually(lambda: self.checker.told["hits"] > 100, 60))
            opened = way.streams
            self.suffer(lambda: way.slow(SECONDS, delay=0.5), "streams 0.5 s late")
            self.assertEqual(way.streams, opened, "late is not lost")
            self.suffer(lambda: way.slow(SECONDS, rate=10_000), "streams of 10 kB a second")
            found = self.checker.end()
        self.assert_coherent(found)

    def test_a_commit_before_the_stream_that_is_visible_after_it(self):
        """It is never told. So nothing is kept that was read before all could see it, but by the
        mutant that thinks that all was visible when the stream began."""
        with Checker(self.dsn, "--reads=0") as checker:
            checker.result()
        for mutant, then in (("", 2), ("unready", 1)):
            with self.subTest(mutant), Server(self.dsn, mutant) as server:
                program.query(self.dsn, "update reg set v = 1 where k = 1")
                self.assertTrue(program.eventually(lambda: server.get(1) == (1, "hit")))
                with self.holding():
                    # A slot waits for whom it finds under way, and then for who has begun
                    # meanwhile. What is committed during the second wait it does not tell.
                    with Transaction(self.dsn) as first:
                        self.break_streams()
                        self.await_slot(first)
                        second = Transaction(self.dsn)
                    with second:
                        self.await_slot(second)
                        writer = subprocess.Popen(
                            ["psql", "--no-psqlrc", "--quiet", self.dsn,
                             "--command=set synchronous_commit = on",
                             "--command=update reg set v = 2 where k = 1"], env=program.ENVIRONMENT)
                        self.assertTrue(program.eventually(self.held, 30))
                    # It follows again, and still nobody sees the write.
                    self.assertTrue(program.eventually(lambda: self.streaming() == 1, 30))
                    answers = {server.get(1) for _ in range(20) if not time.sleep(0.02)}
                    self.assertEqual({version for version, _ in answers}, {1})
                    self.assertEqual((1, "hit") in answers, mutant == "unready", answers)
                self.assertEqual(writer.wait(30), 0)
                self.assertEqual(program.query(self.dsn, "select v from reg where k = 1"), "2")
                self.assertEqual({server.get(1)[0] for _ in range(20) if not time.sleep(0.02)},
                                 {then})

    @staticmethod
    def wait():
        time.sleep(SECONDS)

    def await_slot(self, transaction):
        """The stream that opens waits for that transaction."""
        self.assertTrue(program.eventually(lambda: self.admin(
            "select count(*) from pg_locks join pg_stat_activity using (pid) "
            "where backend_type = 'walsender' and not granted "
            f"and transactionid = '{transaction.xid}'") == "1", 30))

    def streaming(self):
        return int(self.admin("select count(*) from pg_stat_replication where state = 'streaming'"))

    def kill_a_replica(self):
        replicas = dict(self.checker.replicas)
        os.kill(replicas[0], signal.SIGKILL)
        # The checker starts another.
        self.assertTrue(program.eventually(lambda: self.checker.replicas != replicas, 30))

    def stop_a_replica(self):
        with stopped([self.checker.replicas[1]]):
            time.sleep(2)
        time.sleep(0.5)

    def streams(self):
        return [int(pid) for pid in self.admin(
            "select pid from pg_stat_activity where backend_type = 'walsender'").split()]

    def break_streams(self):
        self.admin("select pg_terminate_backend(pid) from pg_stat_activity "
                   "where backend_type = 'walsender'")
        time.sleep(0.5)

    def stop_streams(self):
        with stopped(self.streams()):
            time.sleep(1)
        time.sleep(0.5)

    def held(self):
        return int(self.admin(
            "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"))

    @contextlib.contextmanager
    def holding(self):
        """Commits of those who ask for durability are in the log and not visible meanwhile."""
        self.standbys("'nosuch'")
        try:
            yield
        finally:
            self.standbys("''")

    def standbys(self, names):
        self.admin(f"alter system set synchronous_standby_names = {names}")
        self.admin("select pg_reload_conf()")

    def hold_commits(self):
        with self.holding():
            self.assertTrue(program.eventually(self.held, 30))
            time.sleep(1)
            self.break_streams()
        time.sleep(0.5)

    def hold_openings(self):
        with Transaction(self.dsn):
            self.break_streams()
            time.sleep(1)
        time.sleep(0.5)

    def change_many_rows(self):
        for sql in (MANY_ROWS, MANY_ROWS, "delete from reg where k >= 10000", "vacuum reg"):
            program.query(self.dsn, sql)

    def change_the_schema(self):
        done = subprocess.run(["psql", "--no-psqlrc", "--quiet", "--output=/dev/null", self.dsn],
                              input=STORM, text=True, capture_output=True, check=True,
                              env=program.ENVIRONMENT)
        # What waits for a table's writers may make one of them wait for itself.
        if "deadlock detected" not in done.stderr:
            self.assertNotIn("ERROR", done.stderr)

    def restart_the_database(self):
        self.cluster.kill()
        time.sleep(0.3)
        self.cluster.start()
        time.sleep(1)


@contextlib.contextmanager
def stopped(processes):
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            # One that has stopped can be killed all the same.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


if __name__ == "__main__":
    unittest.main()
