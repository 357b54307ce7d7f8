"""What the bot does on the events of its gateway: a message brings all that is to be known of it, some are edited and
reacted to, people come, go and talk, and a few ask for something. Needs the stubs of the tests' clients."""

import functools
import importlib
import random
import re
import time

from google.protobuf import json_format

import traffic

# What there is before: messages that are talked about, and whatever commands ask for.
MESSAGES, COMMANDS, THREADS, CHANNELS, ROLES, LINKS, QUOTES, CREATORS, POLLS = (
    2000, 2000, 50, 110, 100, 400, 600, 200, 20)
SAVE, REACT = "MessagesService/SaveMessage", "ReactionsService/UpsertReaction"
# How often each comes for a thousand messages.
MIX = {
    SAVE: 1000,
    REACT: 500,
    "ReactionsService/MarkReactionRemoved": 50,
    "MessagesService/RecordMessageEdit": 50,
    "MessagesService/MarkMessageDeleted": 20,
    "CommandHistoryService/RecordInteraction": 60,
    "CommandHistoryService/CompleteCommand": 25,
    "VoiceActivityService/RecordVoiceState": 40,
    "ThreadsService/AddThreadMember": 15,
    "ThreadsService/RemoveThreadMember": 3,
    "ThreadsService/UpdateThread": 7,
    "ThreadsService/CreateThread": 1,
    "MembersService/RecordMemberJoin": 3,
    "MembersService/RecordMemberLeave": 2,
    "MembersService/RecordRoleChange": 6,
    "UsersService/UpdateUsername": 1,
    "ErrorTelemetryService/CreateErrorRecord": 8,
    "LinksService/GetLink": 5,
    "RolesService/GetRole": 2,
    "RolesService/ListSelfAssignableRoles": 2,
    "QuotesService/GetQuote": 1,
    "QuotesService/GetRandomQuote": 2,
    "QuotesService/SearchQuotes": 1,
    "QuotesService/CreateQuote": 1,
    "PollsService/ListActivePolls": 2,
    "PollsService/ListPollOptions": 1.5,
    "ServerSettingsService/GetAdminRoleId": 3,
    "CreatorLinksService/ListCreatorLinks": 2,
    "TwiContentService/GetCurrentPassword": 2,
    "StatsService/GetChannelMessageCount": 1.5,
}
EMOJIS = "👍 ❤️ 😂 🎉 😢 🔥 👀 ✅".split()
FILL = (
    "truncate reactions, message_edit, command_history, threads, thread_membership, voice_activity, roles,"
    " role_membership, role_changes, role_history, join_leave, server_membership, updates, error_telemetry, links,"
    " creator_links, quotes, server_settings, password_link, poll, poll_option restart identity",
    # Those of the events' own messages are far greater.
    "insert into messages (message_id, created_at, content, user_name, server_name, server_id, channel_id,"
    " channel_name, user_id, user_nick, jump_url, is_bot, deleted)"
    " select i, timestamp '2017-07-14' + i * interval '30 s', 'word ' || i, 'user ' || i, 'Inn', 1,"
    f" 1 + i % {CHANNELS}, 'channel', i, 'nick', 'https://discord.com/channels/1/7/' || i, false, false"
    f" from generate_series(1, {MESSAGES}) i",
    "insert into reactions (message_id, user_id, unicode_emoji, is_custom_emoji, date)"
    f" select i, i, '{EMOJIS[0]}', false, timestamp '2017-07-15' from generate_series(1, {MESSAGES}) i",
    f"insert into channels (id, name, guild_id) select i, 'channel ' || i, 1 from generate_series(1, {CHANNELS}) i"
    " on conflict do nothing",
    "insert into command_history (command_name, start_date, user_id, slash_command)"
    f" select 'quote', timestamp '2017-07-15', i, true from generate_series(1, {COMMANDS}) i",
    f"insert into threads (id, guild_id, name) select i, 1, 'thread ' || i from generate_series(1, {THREADS}) i",
    "insert into roles (id, name, guild_id, self_assignable)"
    f" select i, 'role ' || i, 1, i % 4 = 0 from generate_series(1, {ROLES}) i",
    "insert into links (title, content, guild_id)"
    f" select 'Link ' || i, 'https://example.com/' || i, 1 from generate_series(1, {LINKS}) i",
    f"insert into quotes (quote, author) select 'Quote ' || i, 'Erin' from generate_series(1, {QUOTES}) i",
    "insert into creator_links (user_id, title, link) select u, 'Site ' || i, 'https://example.com/' || u"
    f" from generate_series(1, {CREATORS}) u, generate_series(1, 5) i",
    "insert into server_settings (guild_id, admin_role_id) values (1, 1)",
    "insert into password_link (password, link, date) values ('password', 'https://example.com', now())",
    "insert into poll (id, api_url, poll_url, title, index_serial, start_date, expire_date, expired)"
    " select i, 'https://example.com', 'https://example.com', 'poll ' || i, i, now(), now() + interval '1 day', false"
    f" from generate_series(1, {POLLS}) i",
    "insert into poll_option (option_id, poll_id, option_text) select 10 * p + i, p, 'option ' || i"
    f" from generate_series(1, {POLLS}) p, generate_series(1, 5) i",
    "analyze", "checkpoint",
)


@functools.cache
def request_of(operation):
    """The class of an operation's requests."""
    service, method = operation.split("/")
    stem = re.sub(r"(?<!^)([A-Z])", r"_\1", service.removesuffix("Service")).lower()
    file = importlib.import_module(f"twi.data.v1.{stem}_pb2").DESCRIPTOR
    kind = file.services_by_name[service].methods_by_name[method].input_type
    home = kind.file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
    return getattr(importlib.import_module(home), kind.name)


class Events:
    """Requests in the order of the events: drawn, but the same ones each time."""

    def __init__(self, saves):
        self.random = random.Random(1)
        self.saves = saves  # requests of SaveMessage, in hexadecimal
        self.threads = THREADS

    def one_of(self, count):
        """From 1; the n-th is asked for as often as 1/n says."""
        return int(count ** self.random.random())

    def document(self, operation):
        """The request in JSON."""
        user = self.random.randint(1, traffic.ACTIVE)
        who = {"userId": user, "username": f"user {user}"}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(traffic.BEGINNING + self.random.randint(1, 10**7)))
        message, channel = self.one_of(MESSAGES), self.random.randint(1, CHANNELS)
        match operation.split("/")[1]:
            case "UpsertReaction":
                return {"messageId": message, "userId": user, "unicode": self.random.choice(EMOJIS), "date": now}
            case "MarkReactionRemoved":
                return {"messageId": message, "userId": message, "unicode": EMOJIS[0]}
            case "RecordMessageEdit":
                return {"messageId": message, "newContent": f"word {user}", "editTimestamp": now}
            case "MarkMessageDeleted":
                return {"messageId": message}
            case "RecordInteraction":
                return {"user": who, "server": {"serverId": 1, "serverName": "Inn"}, "startDate": now,
                        "channel": {"id": channel, "name": f"channel {channel}"}, "commandName": "quote",
                        "slashCommand": True, "args": {"number": user}, "startedSuccessfully": True}
            case "CompleteCommand":
                return {"serial": self.random.randint(1, COMMANDS), "runTime": f"0.{user:04}s", "endDate": now}
            case "RecordVoiceState":
                # Somebody joins a channel, or switches the microphone off.
                there = {"channel": {"id": channel, "name": f"channel {channel}"}}
                before, after = ({}, there) if user % 5 < 2 else (there, there | {"selfMute": True})
                return who | {"guildId": 1, "before": before, "after": after, "timestamp": now}
            case "AddThreadMember" | "RemoveThreadMember":
                return {"userId": user, "threadId": self.random.randint(1, THREADS)}
            case "UpdateThread":
                return {"thread": {"id": self.random.randint(1, THREADS), "name": f"thread of {user}"}}
            case "CreateThread":
                self.threads += 1
                return {"thread": {"id": self.threads, "guildId": 1, "name": f"thread of {user}"}}
            case "RecordMemberJoin" | "RecordMemberLeave":
                return {"userId": user, "serverId": 1, "date": now, "serverName": "Inn", "userName": f"user {user}"}
            case "RecordRoleChange":
                return {"userId": user, "serverId": 1, "timestamp": now,
                        "changes": [{"roleId": self.random.randint(1, ROLES), "action": "ROLE_CHANGE_ACTION_ADDED"}]}
            case "UpdateUsername":
                return {"userId": user, "username": f"user {user} {self.random.randint(1, 9)}"}
            case "CreateErrorRecord":
                return {"errorType": "CommandNotFound", "userId": user, "guildId": 1, "channelId": channel,
                        "errorMessage": "Command \"roll\" is not found", "timestamp": now}
            case "GetLink":
                return {"title": f"Link {self.one_of(LINKS)}"}
            case "GetRole":
                return {"id": self.one_of(ROLES), "guildId": 1}
            case "ListSelfAssignableRoles" | "GetAdminRoleId":
                return {"guildId": 1}
            case "GetQuote":
                return {"serialId": self.one_of(QUOTES)}
            case "SearchQuotes":
                return {"search": f"quote {self.one_of(QUOTES)}"}
            case "CreateQuote":
                return {"quote": f"Level {user}!", "author": "Erin"}
            case "ListPollOptions":
                return {"pollId": self.one_of(POLLS)}
            case "ListCreatorLinks":
                return {"userId": self.one_of(CREATORS)}
            case "GetChannelMessageCount":
                return {"channelId": channel, "since": now}
        return {}

    def request(self, operation):
        """In hexadecimal."""
        if operation == SAVE:
            return next(self.saves)
        filled = json_format.ParseDict(self.document(operation), request_of(operation)())
        return filled.SerializeToString(deterministic=True).hex()

    def lines(self, count, mix):
        """Of a file for the load client."""
        for operation in self.random.choices(list(mix), list(mix.values()), k=count):
            yield f"/twi.data.v1.{operation} {self.request(operation)}\n"
