#!/usr/bin/python3
"""The service as one would write it in Python: grpc.aio in one process, with 16 connections. It reads a
quote, saves a message with what traffic.py gives one: as the bot did, statement by statement, or as one
unit of SQLAlchemy's, and a reaction. Prints `ready PORT`. Libraries are imported where they are used, for not every
machine has them.

usage: python_peer.py asyncpg|sqlalchemy --dsn=DSN --stubs=FOLDER
"""

import argparse
import asyncio
import signal
import sys

sys.dont_write_bytecode = True
import bench
import grpc

CONNECTIONS = 16
GET_QUOTE = "select serial_id, quote, author, author_id, time from quotes where serial_id = $1"
QUOTE = ("serial_id", "quote", "author", "author_id")
MESSAGE = ("message_id", "content", "user_name", "server_name", "server_id", "channel_id", "channel_name",
           "user_id", "user_nick", "jump_url", "is_bot", "deleted", "reference")
ATTACHMENT = ("id", "filename", "url", "size", "height", "width", "is_spoiler")
EMBED = ("title", "description", "url", "color", "footer_text", "image_url", "thumbnail_url", "author_name")


def values(message, names):
    """Of fields with presence that are not set: None."""
    fields = message.DESCRIPTOR.fields_by_name
    return {name: getattr(message, name)
            if not fields[name].has_presence or message.HasField(name) else None for name in names}


def inserted(table, names, end=""):
    return (f"insert into {table} ({', '.join(names)})"
            f" values ({', '.join(f'${i}' for i in range(1, len(names) + 1))}) {end}")


REACTED = ("message_id", "user_id", "unicode_emoji")  # what a reaction is known by


class Asyncpg:
    async def open(self, words):
        import asyncpg
        self.pool = await asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **words)

    async def get_quote(self, serial_id):
        return await self.pool.fetchrow(GET_QUOTE, serial_id)

    async def save(self, user, message, attachments, embeds, mentions):
        run = self.pool.execute
        await run(inserted("users", user, "on conflict (user_id) do nothing"), *user.values())
        await run(inserted("messages", message, "on conflict (message_id) do nothing"), *message.values())
        if attachments:
            await self.pool.executemany(inserted("attachments", attachments[0]),
                                        [tuple(each.values()) for each in attachments])
        for embed in embeds:
            await self.pool.fetchval(inserted("embeds", embed, "returning id"), *embed.values())
        if mentions:
            await self.pool.executemany(inserted("mentions", mentions[0]),
                                        [tuple(each.values()) for each in mentions])

    async def react(self, reaction):
        known = f"on conflict ({', '.join(REACTED)}) do update set removed = false"
        await self.pool.execute(inserted("reactions", reaction, known), *reaction.values())


class Sqlalchemy:
    async def open(self, words):
        import sqlalchemy as sa
        from sqlalchemy.dialects import postgresql
        from sqlalchemy.ext import asyncio as aio
        from sqlalchemy.orm import declarative_base, sessionmaker
        base = declarative_base()

        def mapped(table, key, **columns):
            columns = {name: sa.Column(kind, primary_key=name == key) for name, kind in columns.items()}
            return type(table.title(), (base,), {"__tablename__": table, **columns})

        number, text, flag, time = sa.BigInteger, sa.Text, sa.Boolean, sa.DateTime
        self.Quote = mapped("quotes", "serial_id", serial_id=number, quote=text, author=text,
                            author_id=number, time=time(timezone=True))
        self.User = mapped("users", "user_id", user_id=number, username=text, created_at=time, bot=flag)
        self.Message = mapped(
            "messages", "message_id", created_at=time,
            **{name: flag if name in ("is_bot", "deleted") else number if name.endswith("id")
               or name == "reference" else text for name in MESSAGE})
        self.Attachment = mapped("attachments", "id", id=number, filename=text, url=text, size=number,
                                 height=sa.Integer, width=sa.Integer, is_spoiler=flag, message_id=number)
        self.Embed = mapped("embeds", "id", id=number, message_id=number, created_at=time,
                            **{name: sa.Integer if name == "color" else text for name in EMBED})
        self.Mention = mapped("mentions", "serial_id", serial_id=number, message_id=number,
                              user_mention=number, role_mention=number)
        self.Reaction = mapped("reactions", "id", id=number, message_id=number, user_id=number, unicode_emoji=text,
                               emoji_name=text, is_custom_emoji=flag, date=time, removed=flag)
        self.select, self.insert = sa.select, postgresql.insert
        engine = aio.create_async_engine(
            "postgresql+asyncpg://", connect_args=words, pool_size=CONNECTIONS, max_overflow=0)
        self.sessions = sessionmaker(engine, class_=aio.AsyncSession, expire_on_commit=False)

    async def get_quote(self, serial_id):
        async with self.sessions() as session:
            found = await session.execute(self.select(self.Quote).where(self.Quote.serial_id == serial_id))
            return vars(found.scalar_one())

    async def save(self, user, message, attachments, embeds, mentions):
        async with self.sessions() as session:
            await session.execute(self.insert(self.User).values(user).on_conflict_do_nothing())
            session.add(self.Message(**message))
            await session.flush()
            session.add_all([*(self.Attachment(**each) for each in attachments),
                             *(self.Embed(**each) for each in embeds),
                             *(self.Mention(**each) for each in mentions)])
            await session.commit()

    async def react(self, reaction):
        async with self.sessions() as session:
            await session.execute(self.insert(self.Reaction).values(reaction).on_conflict_do_update(
                index_elements=REACTED, set_={"removed": False}))
            await session.commit()


async def serve(stack, words, stubs):
    sys.path.insert(0, stubs)
    from twi.data.v1 import (messages_pb2, messages_pb2_grpc, quotes_pb2, quotes_pb2_grpc, reactions_pb2,
                             reactions_pb2_grpc)
    await stack.open(words)

    class Quotes(quotes_pb2_grpc.QuotesServiceServicer):
        async def GetQuote(self, request, context):
            row = await stack.get_quote(request.serial_id)
            answer = quotes_pb2.GetQuoteResponse()
            for name in QUOTE:
                if row[name] is not None:
                    setattr(answer.quote, name, row[name])
            answer.quote.time.FromDatetime(row["time"])
            return answer

    class Messages(messages_pb2_grpc.MessagesServiceServicer):
        async def SaveMessage(self, request, context):
            message = request.message
            created_at = message.created_at.ToDatetime()
            whose = {"message_id": message.message_id}
            user = {"user_id": message.user_id, "username": request.author.username,
                    "created_at": request.author.created_at.ToDatetime(), "bot": request.author.bot}
            await stack.save(
                user, values(message, MESSAGE) | {"created_at": created_at},
                [values(each, ATTACHMENT) | whose for each in message.attachments],
                [values(each, EMBED) | whose | {"created_at": created_at} for each in message.embeds],
                [{"user_mention": user_id, **whose} for user_id in message.user_mentions])
            return messages_pb2.SaveMessageResponse(created=True)

    class Reactions(reactions_pb2_grpc.ReactionsServiceServicer):
        async def UpsertReaction(self, request, context):
            await stack.react({
                "message_id": request.message_id, "user_id": request.user_id, "unicode_emoji": request.unicode,
                "emoji_name": request.unicode, "is_custom_emoji": False, "date": request.date.ToDatetime()})
            return reactions_pb2.UpsertReactionResponse()

    server = grpc.aio.server()
    quotes_pb2_grpc.add_QuotesServiceServicer_to_server(Quotes(), server)
    messages_pb2_grpc.add_MessagesServiceServicer_to_server(Messages(), server)
    reactions_pb2_grpc.add_ReactionsServiceServicer_to_server(Reactions(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print("ready", port, flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(None)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("stack", choices=["asyncpg", "sqlalchemy"])
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--stubs", required=True)
    flags = parser.parse_args()
    stack = Asyncpg() if flags.stack == "asyncpg" else Sqlalchemy()
    asyncio.run(serve(stack, bench.asyncpg_words(flags.dsn), flags.stubs))


if __name__ == "__main__":
    main()
