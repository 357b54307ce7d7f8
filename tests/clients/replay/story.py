"""What the bot would have seen of a trace: messages with texts, replies, edits and deletions.

The trace says when somebody wrote how much, to whom and with which emoji; the rest follows from a
seed, so that the same story can be told again."""

import csv
import dataclasses
import datetime
import random

# Discord's ids begin with milliseconds since 2015.
EPOCH_MS = 1_420_070_400_000
GUILD, CHANNELS, USERS, FILES = 297_916_314_239_107_072, 10**18, 10**17, 2 * 10**18
REPLIES, EDITS, DELETIONS = 0.12, 0.04, 0.01

WORDS = ("the inn is open again and nobody has counted the goblins yet, which is why we ask: who pays? "
         "Über die Straße, naïve façade, jalapeño; да, это правда — 我们明天见 • こんにちは "
         "שלום ‏عالم 'quoted' \"twice\" $1 %s {} \\n :name -- */ <b>&amp;</b> Z͑ͫ̓a̴l͞g̵o").split()
EMOJI = {"slightly_smiling_face": "🙂", "smile": "😄", "wave": "👋", "wink": "😉", "heart": "❤️",
         "shrug": "🤷‍♀️", "thumbsup": "👍🏽", "man-facepalming": "🤦🏾‍♂️", "flag-pt": "🇵🇹"}


@dataclasses.dataclass(slots=True)
class Message:
    """A message as the bot saves it, and what becomes of it."""
    id: int
    time: float
    channel: int
    channel_name: str
    user: int
    content: str | None
    mentions: list
    reference: int | None
    files: list
    edited: str | None = None
    deleted: bool = False

    @property
    def created_at(self):
        return datetime.datetime.fromtimestamp(self.time, datetime.timezone.utc)

    @property
    def last_content(self):
        return self.content if self.edited is None else self.edited


@dataclasses.dataclass(slots=True)
class Event:
    """Something that happens to a message: it is saved, edited or deleted."""
    time: float
    kind: str
    message: Message
    # What must have been done before, if anything.
    after: "Event | None"


def text(chance, length, beginning):
    """Words, exactly so long, most of them not plain ASCII."""
    parts = list(beginning)
    size = sum(map(len, parts)) + len(parts)
    while size <= length:
        parts.append(chance.choice(WORDS))
        size += len(parts[-1]) + 1
    # Discord cuts off blanks at the ends, so the last is a character that counts.
    whole = " ".join(parts)[:length]
    return whole[:-1] + "…" if whole.endswith(" ") else whole


def read(path, seed=1, limit=None, meeting=None):
    """The messages of a trace in their order; the first `limit` ones, of one meeting or of all."""
    found, by_channel, last_ms = [], {}, 0
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            # Two in one second are a millisecond apart.
            last_ms = max(last_ms + 1, 1000 * int(row["unix_time"]))
            if meeting is not None and int(row["meeting"]) != meeting:
                continue
            if limit is not None and len(found) == limit:
                break
            # A message is the same whichever of the others are played.
            chance = random.Random(f"{seed}/{number}")
            length = int(row["length"])
            mentions = sorted({USERS + int(author) for author in row["mentions"].split()})
            beginning = [f"<@{user}>" for user in mentions] + [
                EMOJI.get(name, f":{name}:") for name in row["emoji"].split()]
            message = Message(
                id=(last_ms - EPOCH_MS << 22) + number, time=last_ms / 1000,
                channel=CHANNELS + int(row["meeting"]), channel_name=f"meeting-{row['meeting']}",
                user=USERS + int(row["author"]),
                content=text(chance, length, beginning) if length else None, mentions=mentions,
                reference=None, files=[] if length else [FILES + number])
            earlier = by_channel.setdefault(message.channel, [])
            if earlier and chance.random() < REPLIES:
                message.reference = chance.choice(earlier[-20:]).id
            if length and chance.random() < EDITS:
                message.edited = text(chance, length, ["(edited)", *beginning])
                if message.edited == message.content:
                    message.edited = message.content + "…"
            message.deleted = chance.random() < DELETIONS
            earlier.append(message)
            found.append(message)
    return found


def events(messages):
    """All that happens, in the order of time: an edit some minutes after its message, a deletion
    after that."""
    happened = []
    for message in messages:
        last = Event(message.time, "save", message, None)
        happened.append(last)
        for kind in ["edit"] * (message.edited is not None) + ["delete"] * message.deleted:
            last = Event(last.time + 5 + message.id % 295, kind, message, last)
            happened.append(last)
    return sorted(happened, key=lambda event: event.time)
