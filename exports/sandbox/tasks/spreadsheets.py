"""Renderer task `table`: parse an untrusted CSV or XLSX into rows of cells.

The result is zlib-compressed JSON lines, one row each: `[number, [cell, …]]`. A cell is null, a text, or in a
workbook a list of its kind, text, address and what is shown (`exports/file_imports/cells.py`). Row numbers are
those that a spreadsheet shows: the header is usually row 1.
"""

import csv
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from exports.sandbox.tasks import workbooks
from exports.sandbox.tasks.unreadable import Broken, Empty, NotText, TooMuch
from exports.sandbox.tasks.workbooks import MAX_SHEET_ROWS, PackedCell, Row

MAX_COLUMNS: Final = 200
# Of one line of a CSV: a quoted cell of MAX_CELL_CHARACTERS may hold delimiters.
MAX_LINE_DELIMITERS: Final = 65_536
# Of all cells together: many cells of a workbook may share one string.
MAX_CHARACTERS: Final = 128 * 1024**2
MAX_CELL_CHARACTERS: Final = 32_767
_DELIMITERS: Final = (",", ";", "\t")
# A program may add one to a file that has one, or write its bytes as if they were letters.
_BYTE_ORDER_MARKS: Final = re.compile("\\A(?:\ufeff|\u00ef\u00bb\u00bf)+")
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_BLOCK_BYTES: Final = 1024 * 1024


def read_table(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Parse a file of at most `head["mostRows"]` rows; raises Unreadable."""
    raw = pieces[0]
    if not raw.strip():
        raise Empty("The file is empty.")
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind, delimiter, rows = "xlsx", "", workbooks.read_rows(raw)
    elif raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise NotText("This is an old or protected workbook; save it as XLSX without a password, or as CSV.")
    else:
        text = _decode(raw)
        delimiter = _detect_delimiter(text)
        kind, rows = "csv", _csv_rows(text, delimiter)
    try:
        return _pack_rows(rows, head["mostRows"], {"kind": kind, "delimiter": delimiter})
    except MemoryError:
        raise TooMuch("Its cells take more memory than a file may.") from None


# -- CSV --------------------------------------------------------------------------------------------------


def _decode(raw: bytes) -> str:
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))  # "Unicode text" of a spreadsheet program
    try:
        text = _BYTE_ORDER_MARKS.sub("", raw.decode("utf-16" if is_utf16 else "utf-8"), count=1)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise NotText(f"Line {line:,} is not UTF-8; save the file as “CSV UTF-8”.") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise NotText(f"Line {line:,} holds the character NUL; this is no text.")
    return text


def _detect_delimiter(text: str) -> str:
    """Return the delimiter that the file declares (`sep=`), else the one that gives the most cells in line one."""
    if declared := _SEP_LINE.match(text):
        return declared[1]
    start = text[:_BLOCK_BYTES].lstrip("\r\n")
    return max(_DELIMITERS, key=lambda each: _count_cells(start, each))


def _count_cells(text: str, delimiter: str) -> int:
    """Count the cells of the first line."""
    try:
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))
    except csv.Error:  # an unterminated or oversized cell
        return 0


def _csv_rows(text: str, delimiter: str) -> Iterator[Row]:
    if text.count("\n") + text.count("\r") - text.count("\r\n") > MAX_SHEET_ROWS:
        raise TooMuch(f"The file has more than {MAX_SHEET_ROWS:,} lines.")
    skipped = declared.end() if (declared := _SEP_LINE.match(text)) else 0
    lines = io.StringIO(text, newline="")
    lines.seek(skipped)
    number = 1 if skipped else 0
    reader = csv.reader(_bounded_lines(lines, delimiter), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            number += 1
            yield number, [cell.strip() or None for cell in cells]
    except csv.Error as error:
        if "field larger" in str(error):
            raise TooMuch(f"A cell after row {number:,} is longer than cells can be.") from None
        raise Broken(f"The rows after row {number:,} cannot be read as CSV: {error}.") from None


def _bounded_lines(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Yield the lines; raises TooMuch at one of so many cells that splitting it takes seconds."""
    for number, line in enumerate(lines, 1):
        if line.count(delimiter) > MAX_LINE_DELIMITERS:
            raise TooMuch(f"Line {number:,} has more than {MAX_LINE_DELIMITERS:,} cells.")
        yield line


# -- both -------------------------------------------------------------------------------------------------


def _pack_rows(rows: Iterator[Row], max_rows: int, metadata: dict[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return the compressed rows below the header, blank ones skipped, and their metadata; raises Unreadable."""
    compressor = zlib.compressobj(1)
    parts: list[bytes] = []
    header, count, characters = _read_header(rows), 0, 0
    for number, cells in rows:
        if not any(cells):
            continue
        count += 1
        characters += sum(len(_text(cell)) for cell in cells if cell)
        if count > max_rows:
            raise TooMuch(f"The file has more than {max_rows:,} rows; split it.")
        if characters > MAX_CHARACTERS:
            raise TooMuch(f"The cells hold more than {MAX_CHARACTERS >> 20} million characters.")
        parts.append(compressor.compress(orjson.dumps([number, _fit_to_width(cells, len(header), number)]) + b"\n"))
    if not count:
        raise Empty("There is a header and no row below it.")
    parts.append(compressor.flush())
    return b"".join(parts), metadata | {"header": header, "rows": count}


def _read_header(rows: Iterator[Row]) -> list[str]:
    """Return the first row that is not blank, without blank cells at its end."""
    for _, cells in rows:
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) > MAX_COLUMNS:
            raise TooMuch(f"The file has {len(cells):,} columns; at most {MAX_COLUMNS} are allowed.")
        if cells:
            return [_text(cell).replace("\0", "")[:200] for cell in cells]
    raise Empty("The file is empty.")


def _text(cell: PackedCell) -> str:
    return cell[1] if isinstance(cell, list) else cell or ""


def _fit_to_width(cells: list[PackedCell], width: int, number: int) -> list[PackedCell]:
    """Return the first `width` cells, and the first non-empty cell beyond them, if any; it becomes an error."""
    if any(len(_text(cell)) > MAX_CELL_CHARACTERS for cell in cells if cell):
        raise TooMuch(f"A cell of row {number:,} has more than {MAX_CELL_CHARACTERS:,} characters.")
    outside = [cell for cell in cells[width:] if cell][:1]
    return cells[:width] + outside
