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
from exports.file_imports import figures
from exports.file_imports.cells import PackedCells
from exports.sandbox import pool
from shipments.parsing.query_parameters import InvalidFields, field_error

# The largest file that is allowed takes some twelve seconds of processor time, where half of its cells are formulas
# and one is an error; the deadline is for a busy machine.
_CPU_SECONDS: Final = 15
_TIMEOUT_SECONDS: Final = 20.0
_UNPACK_BYTES: Final = 256 * 1024
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# By the kind of a TaskFailed without a reason.
_FAILURE_MESSAGES: Final = {
    "Died": "The file could not be read: it is broken, or needs more memory than allowed.",
    "TooLong": "The file takes too long to read; split it.",
}


@dataclass(frozen=True, slots=True)
class ImportTable:
    """A parsed file. `packed` are its rows; `decimal_marks` are those of its texts (`figures`)."""

    kind: str
    sha256: str
    header: list[str]
    count: int
    packed: bytes
    decimal_marks: str = figures.UNKNOWN_MARKS

    def rows(self) -> Iterator[tuple[int, PackedCells]]:
        """Yield the number and cells of each row; keeps few rows in memory."""
        return iter_packed_rows(self.packed)


def read(raw: bytes, *, tenant: object = "") -> ImportTable:
    """Parse a file in a renderer, which confines hostile input; raises InvalidFields, ServerBusy.

    `tenant`: the organisation, of which only a share of the renderers works at a time.
    """
    task = pool.Task(
        "table", {"mostRows": settings.IMPORT_MAX_ROWS}, [raw], seconds=_TIMEOUT_SECONDS, cpu_seconds=_CPU_SECONDS,
        tenant=str(tenant),
    )  # fmt: skip
    try:
        result = pool.shared("imports").run(task)
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy(
            "This server reads as many files as it does at once; try again soon."
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
        decimal_marks=figures.decimal_marks(result.metadata["delimiter"]),
    )


def iter_packed_rows(packed: bytes) -> Iterator[tuple[int, PackedCells]]:
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
