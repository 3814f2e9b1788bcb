"""The registry of formats. A format writes a dataset of any report; `exports.apps` registers them."""

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
    """The rows of one database snapshot, opened to be written once, with their query and the snapshot's time."""

    query: ReportQuery
    reader: CopyReader
    read_at: datetime

    @cached_property
    def labels(self) -> list[str]:
        """The labels above the columns, in order."""
        return self.query.labels

    def blocks(self) -> Iterator[bytes]:
        """Yield blocks of whole lines in the format's `row_format`: CSV lines or JSON objects."""
        return self.reader.blocks()

    def rows(self) -> Iterator[list[object]]:
        """Yield the values of each row in the order of the labels; only for `row_format` "json"."""
        names = self.query.fields
        for block in self.blocks():
            for line in block.splitlines():
                row = orjson.loads(line)
                yield [row[name] for name in names]


@dataclass(frozen=True)
class Format:
    """A file format. `write` runs in a thread and yields the file in blocks, keeping as few in memory as it can.

    Once `dataset.reader.cancelled` is set, the client is gone and `write` may raise anything.
    """

    name: str
    content_type: str
    row_format: CopyFormat
    write: Callable[[Dataset], Iterator[bytes]]
    max_rows: int | None = None  # None: no limit
    compressible: bool = False  # whether gzip is worth it
    # Fits a query to the format, such as the columns of a page; raises InvalidFields.
    adapt_query: Callable[[ReportQuery], ReportQuery] = lambda query: query
    # For a format that is not streamed: starts the recorder and returns the whole file.
    render_file: Callable[[ReportQuery, RunRecorder], bytes] | None = None


_formats: dict[str, Format] = {}


def register(*formats: Format) -> None:
    """Register formats, in the order in which they are offered."""
    for each in formats:
        _formats[each.name] = each


def get(name: str) -> Format | None:
    """Return the format of that name, None where there is none."""
    return _formats.get(name)


def names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return tuple(_formats)


def all_formats() -> tuple[Format, ...]:
    """Return all formats."""
    return tuple(_formats.values())
