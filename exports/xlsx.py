"""XLSX: the rows go through a process of their own into a file, which is then read out."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import orjson

from exports.formats import Format, Sheet
from shipments.selectors.cells import Instant

# A sheet has 1,048,576 rows, the header among them.
MOST_ROWS: Final = 1_048_575
_WRITER: Final = Path(__file__).with_name("xlsx_writer.py")
_READ_BYTES: Final = 256 * 1024
_POLL_SECONDS: Final = 0.1


class NotWritten(Exception):
    """The file could not be written, or nobody wants it any more."""


def write(sheet: Sheet) -> Iterator[bytes]:
    """This will yield the file once it is whole; in the product's memory stands one block at a time."""
    with tempfile.TemporaryDirectory(prefix="freight-xlsx-") as folder:
        target = Path(folder) / "sheet.xlsx"
        with _writer(target) as process:
            _fill(sheet, process)
        with target.open("rb") as file:
            target.unlink()
            while block := file.read(_READ_BYTES):
                yield block


@contextmanager
def _writer(target: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """This will run the writer, which never outlives the block."""
    command = [sys.executable, "-I", str(_WRITER), str(target)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        with suppress(OSError):  # what is still buffered has no reader
            process.stdin.close()  # type: ignore[union-attr]
        process.wait()


def _fill(sheet: Sheet, process: "subprocess.Popen[bytes]") -> None:
    lines = process.stdin
    if lines is None:
        raise NotWritten
    try:
        lines.write(orjson.dumps([sheet.asked.report.title[:31], sheet.labels, _times(sheet)]) + b"\n")
        _pass_on(sheet, lines)
        lines.write(b"null\n")
        lines.close()
    except BrokenPipeError as error:
        raise NotWritten("The writer ended before the rows did.") from error
    while process.poll() is None:
        if sheet.reading.cancelled.wait(_POLL_SECONDS):
            raise NotWritten("Nobody waits for it.")
    if process.returncode:
        raise NotWritten(f"The writer ended with {process.returncode}.")


def _pass_on(sheet: Sheet, lines: IO[bytes]) -> None:
    for block in sheet.blocks():
        if sheet.reading.cancelled.is_set():
            raise NotWritten("Nobody waits for it.")
        lines.write(block)


def _times(sheet: Sheet) -> list[int]:
    columns = sheet.asked.report.columns
    return [at for at, name in enumerate(sheet.asked.fields) if isinstance(columns[name].cell, Instant)]


XLSX: Final = Format(
    "xlsx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json",
    write,
    most_rows=MOST_ROWS,
)
