"""Messages as a lively server has them, in the forms in which the benches need them."""

import json
import random
import time

import bench

USERS, ACTIVE = 30_000, 5_000
BEGINNING = 1_500_000_000  # seconds, of the first message
# How many of a hundred messages have a file, an embed and a mention.
FILE, EMBED, MENTION = 12, 8, 22


def field(number, value):
    """A field of a message in protobuf's wire format."""
    if isinstance(value, int):
        return bench.varint(number << 3) + bench.varint(value)
    if isinstance(value, str):
        value = value.encode()
    return bench.varint(number << 3 | 2) + bench.varint(len(value)) + value


def prepare(sql):
    """Makes the server that the messages are of, and those who write and are mentioned."""
    sql("insert into servers (server_id) values (1)",
        "insert into users (user_id, username) select i, 'user ' || i"
        f" from generate_series(1, {USERS}) i", "vacuum analyze servers, users")


def forget(sql):
    """Deletes all messages."""
    sql("truncate messages, attachments, embeds, embed_fields, mentions", "checkpoint")


class Traffic:
    """Messages as a lively server has them: most in ten channels, few authors of most, short texts;
    some with files, embeds and mentions. The same ones each time."""

    def __init__(self):
        self.random = random.Random(1)
        self.authors = [1 / rank for rank in range(1, ACTIVE + 1)]

    def rows(self, first, count):
        """(message_id, seconds, text, channel_id, user_id)"""
        authors = self.random.choices(range(1, ACTIVE + 1), self.authors, k=count)
        for i, user in enumerate(authors, first):
            channel = self.random.randint(1, 10) if self.random.random() < 0.8 \
                else self.random.randint(11, 110)
            text = "word " * min(400, int(self.random.lognormvariate(2.5, 1)))
            yield i << 22, BEGINNING + 30 * i, text, channel, user

    def copied(self, first, count):
        """Lines for COPY."""
        for message, seconds, text, channel, user in self.rows(first, count):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
            yield "\t".join(map(str, (message, when, text, f"user {user}", "Inn", 1, channel,
                                      f"channel {channel}", user, "nick",
                                      f"https://discord.com/channels/1/{channel}/{message}", "f",
                                      "f", r"\N"))) + "\n"

    def requests(self, first, count):
        """(a request of SaveMessage and of ImportMessages, one of CreateMessage), in hexadecimal."""
        for message, seconds, text, channel, user in self.rows(first, count):
            created = b"".join((
                field(1, message), field(2, field(1, seconds)), field(3, text),
                field(4, f"user {user}"), field(5, "Inn"), field(6, 1), field(7, channel),
                field(8, f"channel {channel}"), field(9, user), field(10, "nick"),
                field(11, f"https://discord.com/channels/1/{channel}/{message}")))
            saved = created
            if self.random.random() < FILE / 100:
                saved += field(15, field(1, message) + field(2, "picture.png")
                               + field(3, "https://cdn.discordapp.com/picture.png"))
            if self.random.random() < EMBED / 100:
                saved += field(16, field(2, "title") + field(3, "description " * 10))
            if self.random.random() < MENTION / 100:
                saved += field(17, bench.varint(self.random.randint(1, USERS)))
            yield (field(1, saved) + field(2, field(1, f"user {user}"))).hex(), created.hex()


def documents():
    """(how many of a hundred, a message of this kind as the statement of SaveMessage gets it)."""
    def document(**more):
        return json.dumps({
            "author": {"username": "user 7"},
            "message": {
                "message_id": "1", "created_at": "2017-07-14T02:40:00Z", "content": "word " * 17,
                "user_name": "user 7", "server_name": "Inn", "server_id": "1", "channel_id": "7",
                "channel_name": "channel 7", "user_id": "7", "user_nick": "nick",
                "jump_url": "https://discord.com/channels/1/7/1000000000", "is_bot": False,
                "deleted": False, "attachments": [], "embeds": [], "user_mentions": [],
                "role_mentions": [], **more}})
    yield 100 - FILE - EMBED - MENTION, document()
    yield EMBED, document(embeds=[{"title": "title", "description": "description " * 10,
                                   "fields": []}])
    yield MENTION, document(user_mentions=["77"])
    yield FILE, document(attachments=[{"id": "1", "filename": "picture.png",
                                       "url": "https://cdn.discordapp.com/picture.png"}])
