"""The formats: each writes a sheet, whichever report it is of. `register` takes one more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import orjson

from exports.reports.report_query import ReportQuery
from exports.reports.run_recorder import RunRecorder
from shipments.selectors.reports.copy_reader import CopyFormat, CopyReader


@dataclass
class Dataset:
    """A report opened to be written once: what was asked, the rows of one snapshot, and the time of it."""

    query: ReportQuery
    reading: CopyReader
    read_at: datetime

    @cached_property
    def labels(self) -> list[str]:
        """The labels above the columns, in order."""
        return self.query.labels

    def blocks(self) -> Iterator[bytes]:
        """Yield the lines as the format's form says: CSV or JSON objects, whole lines in each block."""
        return self.reading.blocks()

    def rows(self) -> Iterator[list[object]]:
        """Yield the values of each row in the order of the labels; for formats of the form `json`."""
        names = self.query.fields
        for block in self.blocks():
            for line in block.splitlines():
                row = orjson.loads(line)
                yield [row[name] for name in names]


@dataclass(frozen=True)
class Format:
    """A way to write a sheet; `write` runs in a thread and yields bytes, holding no more than it must.

    Where `sheet.reading.cancelled` is set meanwhile, the reader is gone and writing may stop with an exception.
    """

    name: str
    content_type: str
    row_format: CopyFormat
    write: Callable[[Dataset], Iterator[bytes]]
    # More rows cannot be written; None: any number.
    max_rows: int | None = None
    # Whether the bytes shrink when they are compressed.
    compressible: bool = False
    # Narrows what was asked to what the format has room for; raises Invalid.
    adapt_query: Callable[[ReportQuery], ReportQuery] = lambda query: query
    # Of a format whose files are whole before they are answered: starts the record, returns the file.
    render_file: Callable[[ReportQuery, RunRecorder], bytes] | None = None


_formats: dict[str, Format] = {}


def register(*formats: Format) -> None:
    """Make formats known, in the order in which they are offered."""
    for each in formats:
        _formats[each.name] = each


def get(name: str) -> Format | None:
    """Return a format, None where there is none of that name."""
    return _formats.get(name)


def names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(_formats)


def all_formats() -> tuple[Format, ...]:
    """Return all formats."""
    return tuple(_formats.values())
