"""The common tasks in Python, with grpcio's asyncio. usage: tour_aio.py HOST:PORT"""

import asyncio
import datetime
import pathlib
import sys

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2, status_pb2
from twi.data.v1 import gallery_mementos_pb2 as gallery
from twi.data.v1 import gallery_mementos_pb2_grpc as gallery_grpc
from twi.data.v1 import links_pb2 as links
from twi.data.v1 import links_pb2_grpc as links_grpc
from twi.data.v1 import message_pb2
from twi.data.v1 import messages_pb2 as messages
from twi.data.v1 import messages_pb2_grpc as messages_grpc
from twi.data.v1 import quotes_pb2 as quotes
from twi.data.v1 import quotes_pb2_grpc as quotes_grpc

PROJECT = pathlib.Path(__file__).resolve().parents[3]
SERVICE_CONFIG = (PROJECT / "clients" / "service_config.json").read_text()


def details(error):
    """What the server says of an error, by the kind of detail: BadRequest, ErrorInfo, RetryInfo."""
    status = error.trailing_metadata().get("grpc-status-details-bin", b"")
    found = {}
    for detail in status_pb2.Status.FromString(status).details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        found[kind.__name__] = kind.FromString(detail.value)
    return found


async def create(stub, text):
    """Adds a quote, also when the database is away for a moment. gRPC does not try again by itself
    what may be done only once; the server's RetryInfo says that nothing was done, and when to."""
    while True:
        try:
            answer = await stub.CreateQuote(quotes.CreateQuoteRequest(quote=text), timeout=5)
            return answer.quote
        except grpc.aio.AioRpcError as error:
            found = details(error)
            if "RetryInfo" not in found:
                raise
            await asyncio.sleep(found["RetryInfo"].retry_delay.ToTimedelta().total_seconds())


async def get(stub, serial_id):
    # When the server is being replaced, gRPC tries this again by itself, as the service config says.
    answer = await stub.GetQuote(quotes.GetQuoteRequest(serial_id=serial_id), timeout=10)
    print("get:", answer.quote.quote)


async def pages(stub):
    request, found, count = quotes.ListQuotesRequest(page_size=2), [], 0
    while True:
        page = await stub.ListQuotes(request, timeout=10)
        found += page.quotes
        count += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    print(f"list: {len(found)} quotes on {count} pages")


async def update(stub):
    await stub.CreateLink(
        links.CreateLinkRequest(title="Tour", content="https://a.example/", tag="new"), timeout=5)
    # Without a mask what is set is changed, and the rest left alone.
    answer = await stub.UpdateLink(
        links.UpdateLinkRequest(title="tour", content="https://b.example/"), timeout=5)
    print(f"update: {answer.link.content} {answer.link.tag}")
    # A mask says what is changed; what it names and the request does not set is cleared.
    answer = await stub.UpdateLink(
        links.UpdateLinkRequest(title="tour", update_mask=FieldMask(paths=["tag"])), timeout=5)
    tag = "with a tag" if answer.link.HasField("tag") else "without a tag"
    print("update:", answer.link.content, tag)
    await stub.DeleteLink(links.DeleteLinkRequest(title="tour"), timeout=5)


async def stream_in(stub):
    async def requests():
        for number, text in enumerate(("One.", "Two.", "Three."), 1):
            message = message_pb2.Message(message_id=number, server_id=1, server_name="Inn",
                                          channel_id=2, user_id=3, user_name="erin", content=text)
            message.created_at.FromDatetime(datetime.datetime(2026, 11, 26, 12, number))
            yield messages.ImportMessagesRequest(message=message)

    # Who is not sure that all have arrived sends them again.
    for _ in range(2):
        answer = await stub.ImportMessages(requests(), timeout=60)
    print("stream in:", answer.created + answer.existing, "messages are there")


async def stream_out(stub):
    request = messages.StreamMessagesRequest(channel_id=2)
    texts = [message.content async for portion in stub.StreamMessages(request, timeout=60)
             for message in portion.messages]
    print("stream out:", *texts)


async def refused(stub):
    try:
        await stub.CreateQuote(quotes.CreateQuoteRequest(quote="a", author_id=-1), timeout=5)
    except grpc.aio.AioRpcError as error:
        violations = details(error)["BadRequest"].field_violations
        print("refused:", error.code().name, *(violation.field for violation in violations))
    try:
        await stub.GetQuote(quotes.GetQuoteRequest(serial_id=1 << 40), timeout=5)
    except grpc.aio.AioRpcError as error:
        print("refused:", error.code().name, details(error)["ErrorInfo"].reason)


async def deadline(stub):
    try:
        # A table that others have locked would keep us waiting.
        await stub.ListGalleryMementos(gallery.ListGalleryMementosRequest(), timeout=0.5)
        print("in time")
    except grpc.aio.AioRpcError as error:
        print("late:", error.code().name)


async def main(target):
    async with grpc.aio.insecure_channel(target, [("grpc.service_config", SERVICE_CONFIG)]) as channel:
        stub = quotes_grpc.QuotesServiceStub(channel)
        # Calls that do not wait for each other may be under way together.
        made = await asyncio.gather(*(create(stub, text)
                                      for text in ("Sing to me.", "No killing.", "Goblins.")))
        await get(stub, made[0].serial_id)
        await pages(stub)
        await update(links_grpc.LinksServiceStub(channel))
        await stream_in(messages_grpc.MessagesServiceStub(channel))
        await stream_out(messages_grpc.MessagesServiceStub(channel))
        await refused(stub)
        await deadline(gallery_grpc.GalleryMementosServiceStub(channel))
        for quote in made:
            await stub.DeleteQuote(quotes.DeleteQuoteRequest(serial_id=quote.serial_id), timeout=5)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
