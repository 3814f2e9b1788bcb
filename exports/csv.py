"""CSV (RFC 4180, UTF-8): the header line, then the rows exactly as the database wrote them."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final

from shipments.selectors.rows import Reading

CONTENT_TYPE: Final = "text/csv; charset=utf-8"


def header(labels: Iterable[str]) -> bytes:
    """This will return the first line; labels are ours and need no quotes."""
    return (",".join(labels) + "\n").encode()


async def blocks(labels: Iterable[str], reading: Reading) -> AsyncGenerator[bytes, None]:
    """This will yield the file; raises psycopg.Error where the rows break off."""
    async with aclosing(reading), aclosing(reading.blocks()) as lines:
        yield header(labels)
        async for block in lines:
            yield block
