"""Open the dataset of a report query, with the checks that need its row count, and start streaming it."""

from collections.abc import Callable
from contextlib import ExitStack

from exports import concurrency_limit
from exports.reports import report_query
from exports.reports.format_registry import Dataset, Format
from exports.reports.report_query import ReportQuery
from exports.reports.run_recorder import RunRecorder
from exports.reports.streaming import FileStream
from monitoring import clock


def check_format(query: ReportQuery, file_format: Format) -> None:
    """Raise InvalidFields where the format does not support the query."""
    if query.bom and file_format.name != "csv":
        raise report_query.parameter_error("bom", "invalid", "Only a CSV has a byte order mark.")
    file_format.adapt_query(query)


def open_dataset(query: ReportQuery, file_format: Format) -> Dataset:
    """Open the rows of a query; the caller closes `dataset.reader`.

    Raises InvalidFields where the format cannot hold as many rows, OperationalError.
    """
    query = file_format.adapt_query(query)
    reader = query.report.open(query.by, query.queryset(), query.fields, file_format.row_format)
    if file_format.max_rows is not None and reader.count > file_format.max_rows:
        reader.close()
        raise report_query.parameter_error(
            "limit",
            "too_many_rows",
            f"{file_format.name.upper()} holds at most {file_format.max_rows:,} rows and there are"
            f" {reader.count:,}: add filters or a limit, or use CSV.",
        )
    return Dataset(query, reader, clock.now())


def start_stream(query: ReportQuery, file_format: Format, recorder: RunRecorder, *, gzip: bool) -> FileStream:
    """Start streaming an export: take a slot, open the dataset, start the writer thread, record the start.

    The stream owns slot and dataset. Raises ServerBusy, InvalidFields, OperationalError.
    """
    with ExitStack() as undo:
        release: Callable[[], None] = concurrency_limit.report_reads.acquire(query.by.organization_id)
        undo.callback(release)
        dataset = open_dataset(query, file_format)
        undo.callback(dataset.reader.close)
        recorder.rows = dataset.reader.count
        file_stream = FileStream(dataset, file_format, recorder, gzip=gzip, release=release)
        undo.pop_all()  # from here the stream releases slot and dataset
        undo.callback(file_stream.discard)
        recorder.start()  # while the thread reads the first block; nothing is sent before
        undo.pop_all()
        return file_stream
