"""XLSX: the rows go through a process of their own into a file, which is then read out."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import orjson

from exports.reports.format_registry import Dataset, Format
from shipments.selectors.reports.cells import Instant

# A sheet has 1,048,576 rows, the header among them.
MAX_ROWS: Final = 1_048_575
_WRITER: Final = Path(__file__).with_name("xlsx_writer.py")
_READ_BYTES: Final = 256 * 1024
_POLL_SECONDS: Final = 0.1


class WriterFailed(Exception):
    """The file could not be written, or nobody wants it any more."""


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file once it is whole; in the product's memory stands one block at a time."""
    with tempfile.TemporaryDirectory(prefix="freight-xlsx-") as folder:
        target = Path(folder) / "sheet.xlsx"
        with _writer_process(target) as process:
            _feed_writer(dataset, process)
        with target.open("rb") as file:
            target.unlink()
            while block := file.read(_READ_BYTES):
                yield block


@contextmanager
def _writer_process(target: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the writer, which never outlives the block."""
    command = [sys.executable, "-I", str(_WRITER), str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        with suppress(OSError):  # what is still buffered has no reader
            process.stdin.close()  # type: ignore[union-attr]
        process.wait()


def _feed_writer(dataset: Dataset, process: "subprocess.Popen[bytes]") -> None:
    lines = process.stdin
    if lines is None:
        raise WriterFailed
    try:
        lines.write(
            orjson.dumps([dataset.query.report.title[:31], dataset.labels, _datetime_columns(dataset)]) + b"\n"
        )
        _send_rows(dataset, lines)
        lines.write(b"null\n")
        lines.close()
    except BrokenPipeError as error:
        raise WriterFailed("The writer ended before the rows did.") from error
    while process.poll() is None:
        if dataset.reading.cancelled.wait(_POLL_SECONDS):
            raise WriterFailed("Nobody waits for it.")
    if process.returncode:
        raise WriterFailed(f"The writer ended with {process.returncode}.")


def _send_rows(dataset: Dataset, lines: IO[bytes]) -> None:
    for block in dataset.blocks():
        if dataset.reading.cancelled.is_set():
            raise WriterFailed("Nobody waits for it.")
        lines.write(block)


def _datetime_columns(dataset: Dataset) -> list[int]:
    columns = dataset.query.report.columns
    return [at for at, name in enumerate(dataset.query.fields) if isinstance(columns[name].cell, Instant)]


XLSX: Final = Format(
    "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json",
    write,
    max_rows=MAX_ROWS,
)
