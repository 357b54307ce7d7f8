"""A day of the bot: what it asks of every service, in the proportions in which it does, and what must be
in the database afterwards.

Each write knows the rows that it makes. Everything follows from a seed."""

import datetime
import math
import random

import story
from calls import Call, md5, request_of, stamp
from live_guild import FIRST_EMOTE, Guild

# Calls to a thousand messages. Reads that are alike are told apart.
MIX = {
    "SaveMessage": 1000, "UpsertReaction": 500, "MarkReactionRemoved": 50, "RecordMessageEdit": 50,
    "MarkMessageDeleted": 20, "RecordInteraction": 60, "CompleteCommand": 25, "RecordVoiceState": 40,
    "AddThreadMember": 15, "RemoveThreadMember": 3, "CreateThread": 1, "UpdateThread": 5,
    "UpdateChannel": 1, "UpdateRole": 0.5, "CreateEmote": 0.3, "MarkEmoteDeleted": 0.2,
    "RecordMemberJoin": 3, "RecordMemberLeave": 2, "RecordRoleChange": 6, "UpdateUsername": 1,
    "CreateErrorRecord": 8, "GetLink": 4, "ListLinkCategories": 1, "GetRole": 2,
    "ListSelfAssignableRoles": 2, "GetQuote": 2, "GetRandomQuote": 1, "SearchQuotes": 1,
    "ListActivePolls": 2, "GetPoll": 1.5, "GetAdminRoleId": 3, "ListCreatorLinks": 2,
    "GetCurrentPassword": 2, "GetChannelMessageCount": 0.5, "GetChannelStats": 0.5,
    "ListChannelTopUsers": 0.5, "ListPinChannels": 0.7, "CreateLink": 0.3, "CreateQuote": 0.3,
    "CreateCreatorLink": 0.3, "CreateReport": 0.1}
CHANNELS, BUSY, ROLES, EMOTES = 50, 10, 20, 10
FIRST_ROLE = 3 * 10**17
BEGIN = datetime.datetime(2026, 11, 1, tzinfo=datetime.timezone.utc)
STEP = datetime.timedelta(milliseconds=137)
UNICODE = list(story.EMOJI.values())


class Day(Guild):
    """All that happens: `setup` are objects of SyncGuild, `first` are calls before all others, `calls`
    those of the day in their order. Of what several calls make what it is, the rest is kept here as it
    is after them."""

    def __init__(self, seed, messages, users):
        self.chance = random.Random(f"live/{seed}")
        self.users = [story.USERS + n for n in range(users)]
        active = self.users[:max(10, users // 6)]
        self.active, self.weights = active, [1 / (n + 1) for n in range(len(active))]
        self.channels = [story.CHANNELS + n for n in range(CHANNELS)]
        self.roles = [FIRST_ROLE + n for n in range(ROLES)]
        self.emotes = {FIRST_EMOTE + n: (f"emote_{n}", False, None) for n in range(EMOTES)}
        self.number = 0
        # By key, what is there now and the call that made it so.
        self.messages, self.reactions, self.threads, self.thread_members = {}, {}, {}, {}
        self.joined, self.names, self.commands = {}, {}, []
        self.role_members, self.changed_roles = set(), set()
        self.positions = {channel: (n, None) for n, channel in enumerate(self.channels)}
        self.role_names = {role: (f"role {n}", None) for n, role in enumerate(self.roles)}
        self.setup = list(self.guild())
        self.first = list(self.beginning())
        self.calls = self.shuffled(messages)

    def guild(self):
        made = request_of("SyncGuild")
        yield made(server={"server_id": story.GUILD, "server_name": "Live"})
        yield made(category={"id": story.CHANNELS - 1, "guild_id": story.GUILD, "name": "all"})
        for n, channel in enumerate(self.channels):
            yield made(channel={"id": channel, "guild_id": story.GUILD, "name": f"channel-{n}",
                                "position": n, "category_id": story.CHANNELS - 1})
        for n, role in enumerate(self.roles):
            yield made(role={"id": role, "guild_id": story.GUILD, "name": f"role {n}", "position": n})
        for emote, (name, _, _) in self.emotes.items():
            yield made(emote={"emote_id": emote, "guild_id": story.GUILD, "name": name})
        for user in self.users:
            self.names[user] = f"member {user}"
            yield made(user={"user_id": user, "username": self.names[user]})
        for user in self.users:
            yield made(membership={"user_id": user, "server_id": story.GUILD})
        for user in self.users[:50]:
            role = self.chance.choice(self.roles)
            self.role_members.add((user, role))
            yield made(role_membership={"user_id": user, "role_id": role})

    def beginning(self):
        yield self.call("UpsertServerSettings", guild_id=story.GUILD, admin_role_id=self.roles[0])
        yield self.call("EnableSelfAssignableRole", id=self.roles[1], guild_id=story.GUILD)
        yield self.call("CreatePassword", password="secret", link="https://example.com/", user_id=1)
        yield self.call("CreateActivePoll", id=1, title="Which one?", start_date=stamp(BEGIN))
        for n in range(20):
            yield self.link(f"first {n}")
            yield self.quote(f"The first of them, {n}")

    def shuffled(self, messages):
        """The calls in their order. What there is nothing for as yet comes at the end."""
        kinds = [kind for kind, weight in MIX.items()
                 for _ in range(max(1, round(weight * messages / 1000)))]
        self.chance.shuffle(kinds)
        calls = []
        while kinds:
            later = []
            for kind in kinds:
                call = self.happen(kind)
                (later if call is None else calls).append(call or kind)
            kinds = later
        return calls

    def happen(self, kind):
        """A call of this kind; None when there is nothing that it could be about."""
        self.number += 1
        self.time = BEGIN + self.number * STEP
        maker = getattr(self, kind, None)
        return maker() if maker else self.read(kind)

    def call(self, method, rows=(), previous=None, **fields):
        return Call(method, request_of(method)(**fields), list(rows), previous)

    def user(self):
        return self.chance.choices(self.active, self.weights)[0]

    def channel(self):
        return self.chance.choice(self.channels[:BUSY] if self.chance.random() < 0.8
                                  else self.channels[BUSY:])

    def some(self, found):
        """One of a dict's keys; the later ones are likelier."""
        keys = list(found)
        return keys[-1 - int(len(keys) * self.chance.random() ** 2)] if keys else None

    # Messages.

    def length(self):
        """Half of them are shorter than 60 characters, one of twenty longer than 400."""
        return min(2000, int(self.chance.lognormvariate(math.log(60), 1.15)))

    def SaveMessage(self):
        chance, user = self.chance, self.user()
        ms = int(self.time.timestamp() * 1000)
        number = (ms - story.EPOCH_MS << 22) + self.number
        files = [story.FILES + 10 * self.number + n for n in range(
            chance.choices([1, 2, 3, 4], [80, 13, 5, 2])[0] if chance.random() < 0.12 else 0)]
        fields = chance.randint(1, 6) if chance.random() < 0.25 else 0
        embeds = [{"title": f"embed {self.number}",
                   "fields": [{"name": str(n), "value": "x"} for n in range(fields)]}
                  ] if chance.random() < 0.08 else []
        users = sorted({self.user() for _ in range(chance.choices([1, 2], [9, 1])[0])}
                       ) if chance.random() < 0.22 else []
        roles = [chance.choice(self.roles)] if chance.random() < 0.015 else []
        reply = self.some(self.messages) if chance.random() < 0.2 else None
        text = story.text(chance, self.length(), [])
        message = {"message_id": number, "content": text, "server_id": story.GUILD, "user_id": user,
                   "server_name": "Live", "channel_id": self.channel(), "created_at": stamp(self.time),
                   "is_bot": chance.random() < 0.05, "reference": reply, "user_mentions": users,
                   "role_mentions": roles, "embeds": embeds,
                   "attachments": [{"id": file, "filename": "a.png"} for file in files]}
        call = self.call("SaveMessage", message=message, author={"username": self.names[user]})
        row = {"channel": message["channel_id"], "user": user, "bot": message["is_bot"], "reply": reply,
               "users": users, "roles": roles, "files": files, "time": self.time, "text": text,
               "embeds": [(embed["title"], len(embed["fields"])) for embed in embeds],
               "deleted": False, "edited": False, "last": call}
        self.messages[number] = row
        return call

    def RecordMessageEdit(self):
        number = self.some(self.messages)
        row = self.messages.get(number)
        if row is None or row["edited"]:
            return None
        text = f"{row['text'][:1900]} (edited)"
        rows = [("edit", (str(number), md5(row["text"]), md5(text)))]
        row["text"], row["edited"] = text, True
        row["last"] = self.call("RecordMessageEdit", rows, row["last"], message_id=number,
                                new_content=text, edit_timestamp=stamp(self.time))
        return row["last"]

    def MarkMessageDeleted(self):
        number = self.some(self.messages)
        if number is None or self.messages[number]["deleted"]:
            return None
        row = self.messages[number]
        row["deleted"] = True
        row["last"] = self.call("MarkMessageDeleted", [], row["last"], message_id=number)
        return row["last"]

    def UpsertReaction(self):
        number = self.some(self.messages)
        if number is None:
            return None
        user = self.user()
        emote = self.chance.choice(list(self.emotes))
        custom = self.chance.random() < 0.4
        emoji = emote if custom else self.chance.choice(UNICODE)
        fields = {"custom": {"emoji_id": emote, "name": "e"}} if custom else {"unicode": emoji}
        key = (number, user, emoji)
        before = self.reactions.get(key)
        # The message need not be there: reactions come when they come.
        call = self.call("UpsertReaction", [], before and before[1], message_id=number, user_id=user,
                         date=stamp(self.time), **fields)
        self.reactions[key] = (False, call)
        return call

    def MarkReactionRemoved(self):
        key = self.some(self.reactions)
        if key is None or self.reactions[key][0]:
            return None
        number, user, emoji = key
        fields = {"emoji_id": emoji} if isinstance(emoji, int) else {"unicode": emoji}
        call = self.call("MarkReactionRemoved", [], self.reactions[key][1], message_id=number,
                         user_id=user, **fields)
        self.reactions[key] = (True, call)
        return call

    # What members write, and what they look for.

    def link(self, title):
        return self.call("CreateLink", [("link", (title,))], title=title, content="https://example.com/")

    def CreateLink(self):
        return self.link(f"link {self.number}")

    def quote(self, text):
        return self.call("CreateQuote", [("quote", (text,))], quote=text, author="erin")

    def CreateQuote(self):
        return self.quote(f"It says {self.number}")

    def CreateCreatorLink(self):
        user, title = self.user(), f"title {self.number}"
        return self.call("CreateCreatorLink", [("creator link", (str(user), title))], user_id=user,
                         title=title, link="https://example.com/")

    def CreateReport(self):
        message, user = self.some(self.messages), self.user()
        if message is None:
            return None
        row = self.messages[message]
        return self.call("CreateReport", [("report", (str(message), str(user)))], row["last"],
                         message_id=message, user_id=user, reported_user_id=row["user"],
                         channel_id=row["channel"], reason="spam")

    def GetQuote(self):
        made = request_of("GetQuote")
        created = self.chance.choice([call for call in self.first if call.method == "CreateQuote"])
        return Call("GetQuote", lambda answer: made(serial_id=answer.quote.serial_id), [], created)

    def read(self, kind):
        guild, channel, day = story.GUILD, self.channel(), stamp(BEGIN)
        return self.call(kind, **{
            "GetLink": {"title": f"FIRST {self.number % 20}"},
            "GetRole": {"id": self.roles[1], "guild_id": guild},
            "ListSelfAssignableRoles": {"guild_id": guild, "user_role_ids": self.roles[:3]},
            "SearchQuotes": {"search": "first"},
            "GetPoll": {"id": 1},
            "GetAdminRoleId": {"guild_id": guild},
            "ListCreatorLinks": {"user_id": self.user()},
            "GetChannelMessageCount": {"channel_id": channel, "since": day},
            "GetChannelStats": {"channel_id": channel, "since": day},
            "ListChannelTopUsers": {"channel_id": channel, "since": day}}.get(kind, {}))
