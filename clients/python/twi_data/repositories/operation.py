"""What repositories are made of: methods whose signatures say what an operation is asked."""

import functools
import inspect

from ..contract import method
from ..errors import NotFoundError
from .rows import columns, plain, request_of, row

# More than any page may have: the server gives as many as it does.
LARGEST_PAGE = 10000


class Repository:
    """Takes the Database where the old layer's took a session factory. Within a transaction of it the
    operations take part in that. They raise DatabaseError when they cannot know; that something is not there
    is an answer: None, or False."""

    service = ""

    def __init__(self, database):
        self.database = database


def operation(rpc, answer, into=None, **fixed):
    """The method calls the RPC with its arguments, by name the request's fields, or those of its message
    `into`; `answer` makes of the call what the method returns."""
    def decorate(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        async def run(self, *args, **kwargs):
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *arguments = bound.arguments.items()
            name = f"{self.service}/{rpc}"

            def call(**more):
                values = fixed | more | dict(arguments)
                return self.database.call(name, request_of(method(name).request, values, into))

            return await answer(call)
        return run
    return decorate


def only(response):
    """The response's one field; of a list the rows, which come first."""
    return plain(response, response.DESCRIPTOR.fields[0])


async def one(call):
    """The row, or None."""
    try:
        response = await call()
    except NotFoundError:
        return None
    return row(getattr(response, response.DESCRIPTOR.fields[0].name))


async def done(call):
    """Whether there was something to do it to."""
    try:
        await call()
    except NotFoundError:
        return False
    return True


async def value(call):
    return only(await call())


async def whole(call):
    return columns(await call())


async def texts(call):
    """All of a list, whichever pages it comes in."""
    found, token = [], ""
    while True:
        response = await call(page_size=LARGEST_PAGE, page_token=token)
        found += only(response)
        token = response.next_page_token
        if not token:
            return found


async def rows(call):
    return [row(message) for message in await texts(call)]


async def dicts(call):
    return [columns(message) for message in await texts(call)]


async def first_rows(call):
    """The rows of a list that has no pages."""
    return [row(message) for message in only(await call())]
