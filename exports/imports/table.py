"""A file that somebody sent, read in a renderer: its header, and its rows packed as they are kept."""

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import orjson
from django.conf import settings

from exports import slots
from exports.pdf import pool
from shipments.selectors.parameters import Invalid, field_error

_SECONDS: Final = 30.0
_UNPACK_BYTES: Final = 256 * 1024
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
# What the renderer says of a file that cannot be taken, by the name of the error.
_DIED: Final = {
    "Died": "The file could not be read: it takes more memory than a file may, or is broken.",
    "TooLong": "The file takes too long to read; cut it into several.",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file. `decimal_comma`: numbers may be written with a comma, as where semicolons part cells."""

    kind: str
    sha256: str
    header: list[str]
    count: int
    packed: bytes
    decimal_comma: bool = False

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """This will yield the number of each row and its cells, holding few of them at a time."""
        return unpacked(self.packed)


def read(raw: bytes) -> Table:
    """This will have a file read where it can do no harm; raises Invalid, or Busy where too many are read."""
    about = {"mostRows": settings.IMPORT_MAX_ROWS}
    try:
        done = pool.shared().run(pool.Task("table", about, [raw], seconds=_SECONDS))
    except pool.Busy:
        raise slots.Busy("As many files and documents are worked on as this server can; try again soon.") from None
    except pool.Failed as error:
        code = _HUMP.sub("_", error.kind).lower() if error.reason else "unreadable"
        raise Invalid([field_error("file", code, error.reason or _DIED.get(error.kind, _DIED["Died"]))]) from None
    return Table(
        kind=done.about["kind"],
        sha256=hashlib.sha256(raw).hexdigest(),
        header=done.about["header"],
        count=done.about["rows"],
        packed=done.made,
        decimal_comma=done.about["decimalComma"],
    )


def unpacked(packed: bytes) -> Iterator[tuple[int, list[str | None]]]:
    """This will yield the rows of what was packed."""
    unpacker, rest = zlib.decompressobj(), b""
    ahead = packed
    while ahead:
        block = rest + unpacker.decompress(ahead, _UNPACK_BYTES)
        ahead = unpacker.unconsumed_tail
        *lines, rest = block.split(b"\n")
        for line in lines:
            number, cells = orjson.loads(line)
            yield number, cells
    for line in (rest + unpacker.flush()).splitlines():
        number, cells = orjson.loads(line)
        yield number, cells
