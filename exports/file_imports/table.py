"""An uploaded file, parsed in a renderer: its header, and its rows as compressed JSON lines."""

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
# By the kind of a TaskFailed without a reason.
_FAILURE_MESSAGES: Final = {
    "Died": "The file could not be read: it is broken, or needs more memory than allowed.",
    "TooLong": "The file takes too long to read; split it.",
}


@dataclass(frozen=True, slots=True)
class ImportTable:
    """A parsed file. `packed` are its rows; with `decimal_comma`, numbers may have a decimal comma."""

    kind: str
    sha256: str
    header: list[str]
    count: int
    packed: bytes
    decimal_comma: bool = False

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield the number and cells of each row; keeps few rows in memory."""
        return iter_packed_rows(self.packed)


def read(raw: bytes) -> ImportTable:
    """Parse a file in a renderer, which confines hostile input; raises InvalidFields, ServerBusy."""
    parameters = {"mostRows": settings.IMPORT_MAX_ROWS}
    try:
        result = pool.shared().run(pool.Task("table", parameters, [raw], seconds=_TIMEOUT_SECONDS))
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy(
            "This server processes as many files and documents as it can; try again soon."
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
    """Yield the number and cells of each packed row (`ImportTable.packed`)."""
    decompressor, rest = zlib.decompressobj(), b""
    remaining = packed
    while remaining:
        block = rest + decompressor.decompress(remaining, _UNPACK_BYTES)
        remaining = decompressor.unconsumed_tail
        *lines, rest = block.split(b"\n")
        for line in lines:
            number, cells = orjson.loads(line)
            yield number, cells
    for line in (rest + decompressor.flush()).splitlines():
        number, cells = orjson.loads(line)
        yield number, cells
