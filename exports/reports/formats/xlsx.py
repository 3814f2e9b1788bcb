"""XLSX: a child process (`xlsx_writer`) writes the rows into a temporary file, which is then read back."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import orjson

from exports.reports.format_registry import Dataset, Format
from monitoring import disks
from shipments.selectors.reports import formulas
from shipments.selectors.reports.cells import Instant

# Excel's specification: a sheet has 1,048,576 rows, one of them is the header.
MAX_ROWS: Final = 1_048_575
_WRITER: Final = Path(__file__).with_name("xlsx_writer.py")
_READ_BYTES: Final = 256 * 1024
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 5


class WriterFailed(Exception):
    """The child process failed, or the export was cancelled."""


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file once it is complete; this process holds one block in memory at a time.

    Raises WriterFailed, or OSError where a disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="freight-xlsx-") as directory:
        target = Path(directory) / "sheet.xlsx"
        with _writer_process(target) as process:
            _feed_writer(dataset, process)
        with target.open("rb") as file:
            target.unlink()
            while block := file.read(_READ_BYTES):
                yield block


@contextmanager
def _writer_process(target: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the child process; it never outlives the context."""
    command = [sys.executable, "-I", str(_WRITER), str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        with suppress(OSError):  # buffered bytes for a dead reader
            process.stdin.close()  # type: ignore[union-attr]  # stdin=PIPE
        process.wait()


def _feed_writer(dataset: Dataset, process: "subprocess.Popen[bytes]") -> None:
    lines = process.stdin
    if lines is None:
        raise WriterFailed
    try:
        columns = _datetime_columns(dataset)
        head = [dataset.query.report.title[:31], dataset.labels, columns, formulas.AMBIGUOUS_PATTERN]
        lines.write(orjson.dumps(head) + b"\n")
        _send_rows(dataset, lines)
        lines.write(b"null\n")
        lines.close()
    except BrokenPipeError as error:
        raise _writer_failure(process) from error
    while process.poll() is None:
        if dataset.reader.cancelled.wait(_POLL_SECONDS):
            raise WriterFailed("The export was cancelled.")
    if process.returncode:
        raise _writer_failure(process)


def _writer_failure(process: "subprocess.Popen[bytes]") -> Exception:
    """Return the reason why the process ended, or closed its input: an OSError where the system gave one."""
    try:
        status = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        return WriterFailed("The writer reads no rows.")
    error = OSError(status, os.strerror(status)) if status > 0 else None
    return error if error and disks.is_full(error) else WriterFailed(f"The writer ended with status {status}.")


def _send_rows(dataset: Dataset, lines: IO[bytes]) -> None:
    for block in dataset.blocks():
        if dataset.reader.cancelled.is_set():
            raise WriterFailed("The export was cancelled.")
        lines.write(block)


def _datetime_columns(dataset: Dataset) -> list[int]:
    columns = dataset.query.report.columns
    return [index for index, name in enumerate(dataset.query.fields) if isinstance(columns[name].cell, Instant)]


XLSX: Final = Format(
    "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json",
    write,
    max_rows=MAX_ROWS,
)
