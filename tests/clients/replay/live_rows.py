"""What is in the database of a day, by psql, and what should be."""

import collections
import itertools

import story
from calls import epoch, md5
from rows import queries, query

EPOCH = "extract(epoch from {})::numeric(20, 3)"

# Of each kind of row, all that there are.
ROWS = {
    "message": f"""
select m.message_id, md5(m.content), {EPOCH.format('m.created_at')}, m.channel_id, m.user_id,
  m.reference, m.is_bot, m.deleted,
  (select string_agg(n.user_mention::text, ' ' order by n.user_mention) from mentions n
   where n.message_id = m.message_id),
  (select string_agg(n.role_mention::text, ' ' order by n.role_mention) from mentions n
   where n.message_id = m.message_id),
  (select string_agg(a.id::text, ' ' order by a.id) from attachments a
   where a.message_id = m.message_id),
  (select string_agg(concat_ws('/', e.title,
     (select count(*) from embed_fields f where f.embed_id = e.id)), ' ' order by e.id)
   from embeds e where e.message_id = m.message_id)
from messages m""",
    "edit": "select id, md5(old_content), md5(new_content) from message_edit",
    "reaction": "select message_id, user_id, coalesce(emoji_id::text, unicode_emoji), removed from reactions",
    "interaction": f"""
select {EPOCH.format('start_date')}, user_id, channel_id, command_name from command_history""",
    "completed": f"""
select {EPOCH.format('start_date')} from command_history where finished_successfully""",
    "voice": f"select user_id, channel_id, action, {EPOCH.format('timestamp')} from voice_activity",
    "audit": "select updated_table, action, before, after, primary_key from updates",
    "error": "select error_message from error_telemetry",
    "thread": "select id, parent_id, name, archived, deleted from threads",
    "thread member": "select user_id, thread_id from thread_membership",
    "server": "select server_id, server_name from servers",
    "category": "select id from categories",
    "channel": "select id, name, position, deleted from channels",
    "role": "select id, name, deleted from roles",
    "emote": "select emote_id, name, deleted from emotes",
    "user": "select user_id, username from users",
    "member": "select user_id, server_id from server_membership",
    "role member": "select user_id, role_id from role_membership",
    "event": f"select user_id, join_or_leave, {EPOCH.format('date')} from join_leave",
    "role change": f"select user_id, role_id, action, {EPOCH.format('timestamp')} from role_changes",
    "link": "select title from links",
    "quote": "select quote from quotes",
    "creator link": "select user_id, title from creator_links",
    "report": "select message_id, user_id from reports",
}
# What refers to what, where no foreign key sees to it.
PARENTS = {
    "reactions (message_id)": "messages (message_id)", "reactions (user_id)": "users (user_id)",
    "message_edit (id)": "messages (message_id)", "messages (channel_id)": "channels (id)",
    "messages (reference)": "messages (message_id)", "threads (parent_id)": "channels (id)",
    "channels (category_id)": "categories (id)", "channels (guild_id)": "servers (server_id)",
    "thread_membership (thread_id)": "threads (id)", "thread_membership (user_id)": "users (user_id)",
    "voice_activity (user_id)": "users (user_id)", "join_leave (user_id)": "users (user_id)",
    "role_changes (user_id)": "users (user_id)", "role_changes (role_id)": "roles (id)",
    "reports (message_id)": "messages (message_id)", "mentions (user_mention)": "users (user_id)"}


def flag(value):
    return "t" if value else "f"


def joined(values):
    return " ".join(map(str, values))


def final(day):
    """The rows that are what several calls have made them."""
    for number, m in day.messages.items():
        yield "message", (
            str(number), md5(m["text"]), epoch(m["time"]), str(m["channel"]), str(m["user"]),
            str(m["reply"] or ""), flag(m["bot"]), flag(m["deleted"]), joined(m["users"]),
            joined(m["roles"]), joined(m["files"]),
            joined(f"{title}/{fields}" for title, fields in m["embeds"]))
    for (number, user, emoji), (removed, _) in day.reactions.items():
        yield "reaction", (str(number), str(user), str(emoji), flag(removed))
    for number, thread in day.threads.items():
        yield "thread", (str(number), str(thread["parent"]), thread["name"], flag(thread["archived"]),
                         "f")
    for (user, thread), (gone, _) in day.thread_members.items():
        if not gone:
            yield "thread member", (str(user), str(thread))
    yield "server", (str(story.GUILD), "Live")
    yield "category", (str(story.CHANNELS - 1),)
    for n, channel in enumerate(day.channels):
        yield "channel", (str(channel), f"channel-{n}", str(day.positions[channel][0]), "f")
    for role, (name, _) in day.role_names.items():
        yield "role", (str(role), name, "f")
    for emote, (name, gone, _) in day.emotes.items():
        yield "emote", (str(emote), name, flag(gone))
    for user, name in day.names.items():
        yield "user", (str(user), name)
    for user in itertools.chain(day.users, (user for user, found in day.joined.items()
                                            if not found["gone"])):
        yield "member", (str(user), str(story.GUILD))
    for user, role in day.role_members:
        yield "role member", (str(user), str(role))


def orphans(child, parent):
    (table, column), (of, key) = (name.rstrip(")").split(" (") for name in (child, parent))
    return (f"select c.{column} from {table} c left join {of} p on p.{key} = c.{column} "
            f"where c.{column} is not null and p.{key} is null limit 3")


def wrong(dsn, day):
    """What is missing, is there twice, or is not as it should be, a line each."""
    calls = day.first + day.calls
    should = collections.Counter(final(day))
    should.update(row for call in calls if not call.uncertain for row in call.rows)
    found = queries(dsn, [*ROWS.values(), *map(orphans, PARENTS, PARENTS.values())])
    there = collections.Counter((kind, row) for kind, rows in zip(ROWS, found) for row in rows)
    lines = []
    for call in calls:
        # What nobody can tell of is there once or not at all, and whole.
        if not call.uncertain or not call.rows:
            continue
        more = {there[row] - should[row] for row in call.rows}
        if more == {1}:
            should.update(call.rows)
        elif more != {0}:
            lines.append(f"{call.method} is there in part: {call.rows}")
    lines += [f"{kind} is not there so {n} times: {row}" for (kind, row), n in (should - there).items()]
    lines += [f"{kind} is there {n} times too often: {row}" for (kind, row), n in (there - should).items()]
    for (child, parent), rows in zip(PARENTS.items(), found[len(ROWS):]):
        lines += [f"{child} refers to no {parent}: {row[0]}" for row in rows]
    return lines


def empty(dsn):
    """Whether nobody has told the database of a guild."""
    return query(dsn, "select (select count(*) from servers) + (select count(*) from messages)") == [("0",)]
