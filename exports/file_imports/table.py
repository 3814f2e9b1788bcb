"""A file that somebody sent, read in a renderer: its header, and its rows packed as they are kept."""

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson
from django.conf import settings

from exports import concurrency_limit
from exports.sandbox import pool
from shipments.parsing.query_parameters import InvalidFields, field_error

_TIMEOUT_SECONDS: Final = 30.0
_UNPACK_BYTES: Final = 256 * 1024
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# What the renderer says of a file that cannot be taken, by the name of the error.
_FAILURE_MESSAGES: Final = {
    "Died": "The file could not be read: it takes more memory than a file may, or is broken.",
    "TooLong": "The file takes too long to read; cut it into several.",
}


@dataclass(frozen=True, slots=True)
class ImportTable:
    """The rows of a file. `decimal_comma`: numbers may be written with a comma, as where semicolons part cells."""

    kind: str
    sha256: str
    header: list[str]
    count: int
    packed: bytes
    decimal_comma: bool = False

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield the number of each row and its cells, holding few of them at a time."""
        return iter_packed_rows(self.packed)


def read(raw: bytes) -> ImportTable:
    """Have a file read where it can do no harm; raises Invalid, or Busy where too many are read."""
    parameters = {"mostRows": settings.IMPORT_MAX_ROWS}
    try:
        result = pool.shared().run(pool.Task("table", parameters, [raw], seconds=_TIMEOUT_SECONDS))
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy(
            "As many files and documents are worked on as this server can; try again soon."
        ) from None
    except pool.TaskFailed as error:
        code = _CAMEL_CASE.sub("_", error.kind).lower() if error.reason else "unreadable"
        raise InvalidFields(
            [
                field_error(
                    "file", code, error.reason or _FAILURE_MESSAGES.get(error.kind, _FAILURE_MESSAGES["Died"])
                )
            ]
        ) from None
    return ImportTable(
        kind=result.metadata["kind"],
        sha256=hashlib.sha256(raw).hexdigest(),
        header=result.metadata["header"],
        count=result.metadata["rows"],
        packed=result.content,
        decimal_comma=result.metadata["decimalComma"],
    )


def iter_packed_rows(packed: bytes) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the rows of what was packed."""
    unpacker, rest = zlib.decompressobj(), b""
    remaining = packed
    while remaining:
        block = rest + unpacker.decompress(remaining, _UNPACK_BYTES)
        remaining = unpacker.unconsumed_tail
        *lines, rest = block.split(b"\n")
        for line in lines:
            number, cells = orjson.loads(line)
            yield number, cells
    for line in (rest + unpacker.flush()).splitlines():
        number, cells = orjson.loads(line)
        yield number, cells
