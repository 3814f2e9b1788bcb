"""From what was asked to an opened sheet: the checks that need the count, and what refuses."""

from collections.abc import Callable
from contextlib import ExitStack

from django.utils import timezone

from exports import concurrency_limit
from exports.reports import report_query
from exports.reports.format_registry import Dataset, Format
from exports.reports.report_query import ReportQuery
from exports.reports.run_recorder import RunRecorder
from exports.reports.streaming import FileStream


def check_format(query: ReportQuery, file_format: Format) -> None:
    """Raise Invalid where the format cannot do what was asked."""
    if query.bom and file_format.name != "csv":
        raise report_query.parameter_error("bom", "invalid", "Only a CSV has a byte order mark.")
    file_format.adapt_query(query)


def open_dataset(query: ReportQuery, file_format: Format) -> Dataset:
    """Open the rows that were asked for; raises Invalid where the format cannot hold as many."""
    query = file_format.adapt_query(query)
    reading = query.report.open(query.by, query.queryset(), query.fields, file_format.row_format)
    if file_format.max_rows is not None and reading.count > file_format.max_rows:
        reading.close()
        raise report_query.parameter_error(
            "limit",
            "too_many_rows",
            f"{file_format.name.upper()} holds at most {file_format.max_rows:,} rows and these are {reading.count:,}: narrow"
            " the report, give a limit, or take CSV.",
        )
    return Dataset(query, reading, timezone.now())


def start_stream(query: ReportQuery, file_format: Format, recorder: RunRecorder, *, gzip: bool) -> FileStream:
    """Begin an export for one reader; raises Busy, Invalid, OperationalError."""
    with ExitStack() as undo:
        release: Callable[[], None] = concurrency_limit.report_reads.acquire()
        undo.callback(release)
        dataset = open_dataset(query, file_format)
        undo.callback(dataset.reading.close)
        recorder.rows = dataset.reading.count
        file_stream = FileStream(dataset, file_format, recorder, gzip=gzip, release=release)
        undo.pop_all()  # the stream frees what it holds
        undo.callback(file_stream.discard)
        recorder.start()  # while the first block is read; nobody has it yet
        undo.pop_all()
        return file_stream
