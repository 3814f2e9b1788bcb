"""JSON, one array of objects, and NDJSON, one object per line. PostgreSQL writes the objects."""

from collections.abc import Iterator
from typing import Final

from exports.reports.format_registry import Dataset, Format


def write_lines(dataset: Dataset) -> Iterator[bytes]:
    """Yield NDJSON: one object per line."""
    return dataset.blocks()


def write_array(dataset: Dataset) -> Iterator[bytes]:
    """Yield one array. Line breaks within values are escaped, so that each raw line break ends an object."""
    separator = b"[\n"
    for block in dataset.blocks():
        yield separator + block[:-1].replace(b"\n", b",\n")
        separator = b",\n"
    yield b"\n]\n" if separator == b",\n" else b"[]\n"


JSON: Final = Format("json", "application/json", "json", write_array, compressible=True)
NDJSON: Final = Format("ndjson", "application/x-ndjson", "json", write_lines, compressible=True)
