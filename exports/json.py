"""JSON: one array of objects, or one object a line. The database writes the objects, numbers as numbers."""

from collections.abc import Iterator
from typing import Final

from exports.formats import Format, Sheet


def write_lines(sheet: Sheet) -> Iterator[bytes]:
    """This will yield one JSON object a line."""
    return sheet.blocks()


def write_array(sheet: Sheet) -> Iterator[bytes]:
    """This will yield one array; a line break inside a value is an escape, so that every one ends an object."""
    before = b"[\n"
    for block in sheet.blocks():
        yield before + block[:-1].replace(b"\n", b",\n")
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


JSON: Final = Format("json", "application/json", "json", write_array, shrinks=True)
NDJSON: Final = Format("ndjson", "application/x-ndjson", "json", write_lines, shrinks=True)
