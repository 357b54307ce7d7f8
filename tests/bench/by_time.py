"""Two other ways to have messages by time: a BRIN instead of the b-tree that `optimize` makes, and a partition
for each month."""

import re
import statistics
import subprocess
import sys
import time

import bench
import calls
import rows
import traffic

PAGE = 50
MONTHS = """do $$
declare month timestamp;
begin
  for month in select generate_series(
    '2017-07-01', (select max(created_at) from messages) + interval '2 months', '1 month')
  loop
    execute format('create table %I partition of parted for values from (%L) to (%L)',
      'messages_' || to_char(month, 'YYYY_MM'), month, month + interval '1 month');
  end loop;
end $$"""
# What no operation asks, and the index is made for.
BY_TIME = "select count(*) from messages where created_at >= $1::timestamp"


# The members of a role.
ROLE = f"'{{{','.join(map(str, range(1, 201)))}}}'"


class Messages:
    """Many messages, in the table that is so named at the time."""

    def __init__(self, flags, directory, dsn):
        self.flags, self.directory, self.dsn = flags, directory, dsn
        self.statements = bench.statements(flags, dsn)
        traffic.prepare(self.sql)
        rows.fill(dsn, "messages", 1, flags.rows, flags.rows)
        self.more = flags.rows // 100
        self.sql("create table more as select * from messages limit 0",
                 f"insert into more {rows.select('messages', flags.rows + 1, flags.rows + self.more, flags.rows)}")

    def sql(self, *commands):
        return bench.sql(self.dsn, *commands)

    def timed(self, *commands):
        """Seconds that the last of them takes in a transaction that is undone."""
        text = "\n".join(["begin;", *(f"{command};" for command in commands[:-1]), r"\timing on", f"{commands[-1]};",
                          r"\timing off", "rollback;"])
        printed = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.dsn], input=text, check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        return float(re.findall(r"Time: ([\d.]+) ms", printed)[-1]) / 1000

    def added(self):
        """Rows a second at the end of the table."""
        return statistics.median(self.more / self.timed("insert into messages select * from more")
                                 for _ in range(self.flags.reps))

    def asked(self, statement, *values):
        """Milliseconds of a statement whose data are at hand."""
        execute = f"execute s({', '.join(values)})"
        return 1000 * statistics.median(
            self.timed(f"prepare s as {statement}", "set plan_cache_mode = force_custom_plan", execute, execute)
            for _ in range(self.flags.reps))

    def pgbench(self, clients, script):
        """Milliseconds of a statement to each of some clients."""
        file = self.directory / "script.sql"
        file.write_text(script)
        printed = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(self.flags.seconds),
             "-f", file, self.dsn], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        if not re.search(r"failed transactions: 0 ", printed):
            sys.exit(printed)
        return float(re.search(r"latency average = ([\d.]+)", printed)[1])

    def get(self, clients):
        return self.pgbench(clients, f"\\set id random(1, {self.flags.rows}) * 4194304\n"
                            + calls.bound(self.statements["GetMessage"], [":id"]))

    def page(self, clients):
        length = int(PAGE / 0.08 * 30)
        begin = "(timestamp '2017-07-14 02:40' + :at * interval '1 s')"
        return self.pgbench(
            clients, f"\\set channel random(1, 10)\n\\set at random(1, {max(2, 30 * self.flags.rows - length)})\n"
            + calls.bound(self.statements["StreamMessages"],
                          [":channel", begin, f"({begin} + interval '{length} s')", str(PAGE)]))

    def size(self, pattern):
        """Bytes a row of the indexes with such names."""
        size = self.sql("select coalesce(sum(pg_relation_size(oid)), 0) from pg_class"
                        f" where relkind = 'i' and relname ~ '{pattern}'")
        return int(size) / self.flags.rows


def brin(messages):
    """What the operations that read the b-tree on created_at gain by it, and by a BRIN."""
    day = messages.sql("select quote_literal(max(created_at) - interval '1 day') from messages")
    lines = []
    for kind, index in ("none", None), ("b-tree", "(created_at)"), ("BRIN", "using brin (created_at)"):
        if index:
            messages.sql(f"create index by_time on messages {index}", "vacuum analyze messages")
        lines.append([
            kind, f"{messages.size('^by_time$'):.2f}", f"{messages.added():,.0f}",
            f"{messages.asked(BY_TIME, day):.2f}",
            f"{messages.asked(messages.statements['GetRoleStats'], ROLE, '1', day):.2f}",
            f"{messages.asked(messages.statements['ListDailyActivity'], '1', day, '100'):.2f}"])
        if index:
            messages.sql("drop index by_time")
    return bench.table(["index of created_at", "bytes a row", "rows/s added", "count of a day, ms",
                        "GetRoleStats of a day, ms", "ListDailyActivity, ms"], lines)


def partitions(messages):
    """One table beside a partition for each month, to the same statements."""
    keys = messages.sql("select regexp_replace(pg_get_indexdef(indexrelid), 'INDEX .* ON \\S+ ', 'index on parted ')"
                        " from pg_index where indrelid = 'messages'::regclass and not indisprimary").splitlines()
    figures = {"one table": measured(messages)}
    first = "created_at < '2017-08-01'"
    figures["one table"]["retention"] = 1000 * messages.timed(f"delete from messages where {first}")
    messages.sql("create table parted (like messages including defaults) partition by range (created_at)", MONTHS)
    begin = time.monotonic()
    messages.sql("insert into parted select * from messages", "set maintenance_work_mem = '512MB'",
                 "alter table parted add primary key (message_id, created_at)", *keys,
                 "alter table parted add foreign key (server_id) references servers,"
                 " add foreign key (user_id) references users",
                 "alter table messages rename to whole", "alter table parted rename to messages",
                 "vacuum analyze messages", "checkpoint")
    print(f"partitions after {time.monotonic() - begin:.0f} s", file=sys.stderr)
    figures["by month"] = measured(messages)
    figures["by month"]["retention"] = 1000 * messages.timed("drop table messages_2017_07")
    count = messages.sql("select count(*) from pg_inherits where inhparent = 'messages'::regclass")
    titles = {"added": "rows/s added", "get 1": "GetMessage, 1 client, ms", "get 16": "16 clients",
              "page 1": f"page of {PAGE}, 1 client, ms", "page 16": "16 clients",
              "retention": "the first month goes, ms"}
    return f"{count} partitions:\n\n" + bench.table(
        ["messages", *titles.values()],
        [[name, *(f"{of[title]:,.3f}" if of[title] < 100 else f"{of[title]:,.0f}" for title in titles)]
         for name, of in figures.items()])


def measured(messages):
    return {"added": messages.added()} | {
        f"{name} {clients}": what(clients) for clients in (1, 16)
        for name, what in (("get", messages.get), ("page", messages.page))}
