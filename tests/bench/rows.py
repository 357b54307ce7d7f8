"""Rows by the million of the tables that are written often, made in the database itself."""

import bench

# The numbers from $first to $last, and what is drawn for each: most messages are in ten channels, few authors wrote
# most, most texts are short, as in traffic.py.
DRAWN = """(
  select i, i << 22 as message, timestamp '2017-07-14 02:40:00' + i * interval '30 s' as time,
    floor(exp(random() * ln(5001)))::bigint as author,
    case when random() < 0.8 then 1 + floor(random() * 10) else 11 + floor(random() * 100) end::bigint as channel,
    least(400, exp(2.5 + sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())))::integer as words
  from generate_series({first}::bigint, {last}) i
) d"""
# What hangs on a message hangs on one of the first $messages.
ROWS = {
    "messages":
        "message, time, repeat('word ', words), 'user ' || author, 'Inn', 1, channel, 'channel ' || channel, author,"
        " 'nick', 'https://discord.com/channels/1/' || channel || '/' || message, author % 50 = 0, false, null",
    "attachments":
        "i, 'picture.png', 'https://cdn.discordapp.com/picture.png', 1000, 100, 100, false,"
        " (1 + i * 8 % {messages}) << 22",
    "embeds (id, message_id, title, description)":
        "i, (1 + i * 12 % {messages}) << 22, 'title', repeat('description ', 10)",
    "embed_fields": "i, 1 + i % ({messages} / 12), 'name', 'value', false, i / ({messages} / 12)",
    "mentions": "i, (1 + i * 4 % {messages}) << 22, 1 + i % 30000, null::bigint",
    "reactions":
        "i, (1 + i / 2) << 22, author + i % 2 * 5000, case when words % 2 = 0 then '👍' end,"
        " case when words % 2 = 1 then channel end, 'name', false, words % 2 = 1,"
        " 'https://cdn.discordapp.com/emojis/' || channel || '.png', time, false",
    "join_leave":
        "i, author, 'user ' || author, time, case when words % 2 = 0 then 'join' else 'leave' end, 'Inn', 1, time",
    "command_history (serial, command_name, start_date, user_id, guild_id, slash_command)":
        "i, 'command', time, author, 1, true",
    "updates": "i, 'users', 'UPDATE', 'before', 'after', time, '1'",
}
TABLES = {target.split()[0]: target for target in ROWS}


def columns(table):
    return TABLES[table][len(table):].strip(" ()") or "*"


def select(table, first, last, messages):
    """A query for rows of a table."""
    return f"select {ROWS[TABLES[table]]} from {DRAWN}".format(first=first, last=last, messages=messages)


def fill(dsn, table, first, last, messages):
    """Adds rows. All but the constraints' indexes are made anew, and foreign keys, which hold, are not looked up."""
    made = bench.sql(dsn, "select i.indexrelid::regclass || ':' || pg_get_indexdef(i.indexrelid) from pg_index i"
                     f" where i.indrelid = '{table}'::regclass"
                     " and not exists (select from pg_constraint c where c.conindid = i.indexrelid)")
    indexes = [line.split(":", 1) for line in made.splitlines()]
    bench.sql(dsn, *(f"drop index {name}" for name, _ in indexes),
              "set session_replication_role = replica", "select setseed(0.5)",
              f"insert into {TABLES[table]} {select(table, first, last, messages)}",
              "set maintenance_work_mem = '512MB'", *(definition for _, definition in indexes),
              f"vacuum analyze {table}", "checkpoint")
