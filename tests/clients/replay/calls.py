"""Calls that know what they do: their services, their requests, and the rows that they make."""

import dataclasses
import hashlib
import importlib

SERVICES = {
    "messages": "SaveMessage RecordMessageEdit MarkMessageDeleted",
    "reactions": "UpsertReaction MarkReactionRemoved",
    "command_history": "RecordInteraction CompleteCommand", "voice_activity": "RecordVoiceState",
    "threads": "AddThreadMember RemoveThreadMember CreateThread UpdateThread",
    "channels": "UpdateChannel", "emotes": "CreateEmote MarkEmoteDeleted",
    "members": "RecordMemberJoin RecordMemberLeave RecordRoleChange", "users": "UpdateUsername",
    "error_telemetry": "CreateErrorRecord", "links": "GetLink ListLinkCategories CreateLink",
    "roles": "GetRole ListSelfAssignableRoles UpdateRole EnableSelfAssignableRole",
    "quotes": "GetQuote GetRandomQuote SearchQuotes CreateQuote",
    "polls": "ListActivePolls GetPoll CreateActivePoll",
    "server_settings": "GetAdminRoleId UpsertServerSettings",
    "creator_links": "ListCreatorLinks CreateCreatorLink",
    "twi_content": "GetCurrentPassword CreatePassword",
    "stats": "GetChannelMessageCount GetChannelStats ListChannelTopUsers",
    "pins": "ListPinChannels", "reports": "CreateReport", "servers": "SyncGuild"}
SERVICE = {method: stem for stem, methods in SERVICES.items() for method in methods.split()}
# Two of the same would be there twice: when nobody can tell what became of one, it is not made again.
ONCE = {"RecordInteraction", "RecordVoiceState", "CreateErrorRecord", "CreateQuote"}


def service_of(method):
    """The service's description, and the module of its stub."""
    stem = SERVICE[method]
    messages, stubs = (importlib.import_module(f"twi.data.v1.{stem}_{kind}")
                       for kind in ("pb2", "pb2_grpc"))
    name = f"{''.join(map(str.capitalize, stem.split('_')))}Service"
    return messages.DESCRIPTOR.services_by_name[name], stubs


def request_of(method):
    """The class of its requests."""
    return service_of(method)[0].methods_by_name[method].input_type._concrete_class


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """What the bot asks, and the rows that it makes by it, as (kind, values)."""
    method: str
    request: object
    rows: list
    # What must have been answered before, if anything.
    after: "Call | None" = None
    answer: object = None
    # Nobody can tell whether it was done.
    uncertain: bool = False


def epoch(time):
    return f"{time.timestamp():.3f}"


def stamp(time):
    return {"seconds": int(time.timestamp()), "nanos": 1000 * time.microsecond}


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def audit(table, action, before, after, key):
    return ("audit", (table, action, before or "", after or "", str(key)))
