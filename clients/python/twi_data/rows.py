"""Many rows on their way to the server."""

from . import errors
from .values import row

# A message may have 4 MiB; these leave room for one large row.
MOST_ROWS, MOST_BYTES = 1000, 1 << 20


async def each(rows):
    """The rows, which may come from an iterator or from an asynchronous one."""
    if hasattr(rows, "__aiter__"):
        async for values in rows:
            yield values
    else:
        for values in rows:
            yield values


async def chunks(rows):
    """Rows of the contract, as many as go well into one message."""
    chunk, size, number = [], 0, 0
    async for values in each(rows):
        number += 1
        try:
            made = row(values)
        except errors.DataError as error:
            raise errors.DataError(f"row {number}: {error}", metadata={"row": str(number)}) from error
        chunk.append(made)
        size += made.ByteSize()
        if len(chunk) == MOST_ROWS or size >= MOST_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def copy_target(table, schema=None):
    """A table by its name as it is, and not as SQL would write it."""
    return f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
