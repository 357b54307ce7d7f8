"""What is in the database of a story, by psql, and what should be."""

import collections
import csv
import hashlib
import io
import os
import subprocess

import story

# Between the rows of two statements.
END = "\x1f"

# Every message of the guild, with what hangs on it.
MESSAGES = f"""
select m.message_id, md5(m.content), extract(epoch from m.created_at)::numeric(20, 3), m.channel_id,
  m.channel_name, m.user_id, m.reference, m.deleted,
  (select string_agg(n.user_mention::text, ' ' order by n.user_mention) from mentions n
   where n.message_id = m.message_id and n.user_mention is not null),
  (select string_agg(a.id::text, ' ' order by a.id) from attachments a
   where a.message_id = m.message_id)
from messages m
where m.server_id = {story.GUILD}
"""
EDITS = f"""
select e.id, md5(e.old_content), md5(e.new_content)
from message_edit e
join messages m on m.message_id = e.id
where m.server_id = {story.GUILD}
"""
AUTHORS = f"""
select u.user_id, u.username
from users u
where u.user_id in (select m.user_id from messages m where m.server_id = {story.GUILD})
"""


def query(dsn, sql):
    """The rows, as tuples of texts; NULL is empty."""
    return queries(dsn, [sql])[0]


def queries(dsn, statements):
    """The rows of each statement, by one psql."""
    commands = [argument for sql in statements for argument in ("-c", sql, "-c", f"\\echo {END}")]
    answer = subprocess.run(
        ["psql", "--no-psqlrc", "--quiet", "--csv", "--tuples-only", *commands, dsn],
        check=True, capture_output=True, text=True, env=os.environ | {"PGTZ": "UTC"}).stdout
    return [[tuple(row) for row in csv.reader(io.StringIO(part))]
            for part in answer.split(f"{END}\n")[:-1]]


def md5(text):
    return hashlib.md5(text.encode()).hexdigest() if text is not None else ""


def known(dsn, messages):
    """How many of the messages are there."""
    ids = {row[0] for row in query(dsn, MESSAGES)}
    return sum(str(message.id) in ids for message in messages)


def wrong(dsn, messages):
    """What is missing, is there twice, or is not as it should be, a line each."""
    expected = {
        "message": [
            (str(m.id), md5(m.last_content), f"{m.time:.3f}", str(m.channel), m.channel_name,
             str(m.user), str(m.reference or ""), "t" if m.deleted else "f",
             " ".join(map(str, m.mentions)), " ".join(map(str, m.files))) for m in messages],
        "edit": [(str(m.id), md5(m.content), md5(m.edited))
                 for m in messages if m.edited is not None],
        "author": [(str(user), f"member {user}") for user in {m.user for m in messages}],
    }
    found = {"message": query(dsn, MESSAGES), "edit": query(dsn, EDITS),
             "author": query(dsn, AUTHORS)}
    lines = []
    for kind, rows in expected.items():
        should, there = collections.Counter(rows), collections.Counter(found[kind])
        lines += [f"{kind} is not there so {n} times: {row}" for row, n in (should - there).items()]
        lines += [f"{kind} is there {n} times too often: {row}" for row, n in (there - should).items()]
    return lines
