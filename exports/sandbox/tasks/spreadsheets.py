"""Renderer task `table`: parse an untrusted CSV or XLSX into rows of texts.

The result is zlib-compressed JSON lines, one row each: `[number, [cell, …]]`. A cell is a text or null. Row numbers
are those that a spreadsheet shows: the header is usually row 1.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson
import python_calamine as calamine

from exports.sandbox import isolation

MAX_COLUMNS: Final = 200
# Of a sheet, by Excel's specification; a CSV with more lines is not one of an import either.
MAX_SHEET_ROWS: Final = 1_048_576
MAX_SHEET_COLUMNS: Final = 16_384
# Of one line of a CSV: a quoted cell of MAX_CELL_CHARACTERS may hold delimiters.
MAX_LINE_DELIMITERS: Final = 65_536
MAX_ARCHIVE_MEMBERS: Final = 10_000
# Of an uncompressed workbook: cells and shared strings.
MAX_UNPACKED_BYTES: Final = 256 * 1024**2
MAX_MEMORY_BYTES: Final = 768 * 1024**2
# Of all cells together: many cells of a workbook may share one string.
MAX_CHARACTERS: Final = 128 * 1024**2
MAX_CELL_CHARACTERS: Final = 32_767
_DELIMITERS: Final = (",", ";", "\t")
_SEP_LINE: Final = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_BLOCK_BYTES: Final = 1024 * 1024
# A row number or reference of a cell with so many digits or letters that it is looked at more closely. An unusual
# spelling of the attribute is left to the limits of memory and of the sheet.
_FAR_REFERENCE: Final = re.compile(rb' r="([A-Z]{0,3})0*([1-9][0-9]{6,})"| r="[A-Z]{4}')
_REFERENCE_BYTES: Final = 64
Row = tuple[int, list[str | None]]


class Unreadable(Exception):
    """The file is refused; `reason` is a text for the sender.

    The names of the subclasses become error codes of the API (`empty`, `not_text`, `too_much`, `broken`).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Empty(Unreadable):
    """It has no rows below the header."""


class NotText(Unreadable):
    """It is neither UTF-8 nor a workbook."""


class TooMuch(Unreadable):
    """It has more rows, columns or characters than the limits."""


class Broken(Unreadable):
    """It is truncated or not valid in its format."""


def read_table(head: dict[str, Any], pieces: Sequence[bytes]) -> tuple[bytes, Mapping[str, Any]]:
    """Parse a file of at most `head["mostRows"]` rows; raises Unreadable."""
    raw = pieces[0]
    if not raw.strip():
        raise Empty("The file is empty.")
    if raw.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind, decimal_comma, rows = "xlsx", False, _xlsx_rows(raw)
    elif raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise NotText("This is an old or protected workbook; save it as XLSX without a password, or as CSV.")
    else:
        text = _decode(raw)
        delimiter = _detect_delimiter(text)
        # Spreadsheet programs separate by semicolons in locales that write decimals with a comma.
        kind, decimal_comma, rows = "csv", delimiter != ",", _csv_rows(text, delimiter)
    try:
        return _pack_rows(rows, head["mostRows"], {"kind": kind, "decimalComma": decimal_comma})
    except MemoryError:
        raise TooMuch("Its cells take more memory than a file may.") from None


# -- CSV --------------------------------------------------------------------------------------------------


def _decode(raw: bytes) -> str:
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))  # "Unicode text" of a spreadsheet program
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
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


# -- XLSX -------------------------------------------------------------------------------------------------


def _xlsx_rows(raw: bytes) -> Iterator[Row]:
    _check_archive(raw)
    with isolation.limit_memory(MAX_MEMORY_BYTES):
        try:
            book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(raw))
            visible_sheets = [
                each.name for each in book.sheets_metadata if each.visible is calamine.SheetVisibleEnum.Visible
            ]
            if not visible_sheets:
                raise Empty("The workbook has no visible sheet.")
            sheet = book.get_sheet_by_name(visible_sheets[0])
        except calamine.PasswordError:
            raise NotText("The workbook is protected by a password.") from None
        except (calamine.CalamineError, OSError, ValueError) as error:
            raise Broken("The workbook cannot be read: it is broken or not XLSX.") from error
        if sheet.end and (sheet.end[0] >= MAX_SHEET_ROWS or sheet.end[1] >= MAX_SHEET_COLUMNS):
            raise _far_cell()
        for number, cells in enumerate(sheet.iter_rows(), 1):
            # Most rows between two cells that are far apart are empty: a million takes half a second so.
            if cells.count("") < len(cells):
                yield number, [_cell_text(cell) for cell in cells]


def _check_archive(raw: bytes) -> None:
    """Decompress the workbook to count its bytes, and to find cells where no sheet has any.

    The sizes in a ZIP directory may be forged. Raises Unreadable.
    """
    bytes_left = MAX_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            names = {each.filename for each in members}
            if "[Content_Types].xml" not in names or not any(name.startswith("xl/") for name in names):
                raise NotText("This is a ZIP file, but no XLSX workbook.")
            if len(members) > MAX_ARCHIVE_MEMBERS:
                raise TooMuch(f"The workbook consists of more than {MAX_ARCHIVE_MEMBERS:,} files.")
            if any(each.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for each in members):
                raise Broken("The workbook is compressed in a way that spreadsheet programs do not use.")
            for each in members:
                bytes_left -= _check_member(archive, each, bytes_left)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise Broken("The workbook cannot be unpacked: it is broken or truncated.") from error


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, bytes_left: int) -> int:
    """Return the unpacked size of one file of a workbook; raises TooMuch."""
    size, rest = 0, b""
    is_sheet = "worksheets/" in member.filename
    with archive.open(member) as file:
        while block := file.read(_BLOCK_BYTES):
            size += len(block)
            if size > bytes_left:
                raise TooMuch(f"The workbook unpacks to more than {MAX_UNPACKED_BYTES >> 20} MiB.")
            if is_sheet:
                for found in _FAR_REFERENCE.finditer(rest + block):
                    if not found[2] or int(found[2][:20]) > MAX_SHEET_ROWS:
                        raise _far_cell()
                rest = block[-_REFERENCE_BYTES:]
    return size


def _far_cell() -> TooMuch:
    return TooMuch(
        f"It has a cell beyond row {MAX_SHEET_ROWS:,} or column XFD, where sheets end; save it anew as XLSX or CSV."
    )


def _cell_text(cell: Any) -> str | None:
    """Return a cell as a CSV would hold it. Spreadsheets have no time zones: times are UTC."""
    if isinstance(cell, str):
        return cell.replace("\0", "").strip() or None
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return format(Decimal(repr(cell)).normalize(), "f")
    if isinstance(cell, datetime):
        # The serial number of a date is exact to some microseconds only.
        rounded = cell + timedelta(microseconds=500)
        return f"{rounded.isoformat(timespec='milliseconds').removesuffix('.000')}Z"
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)


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
        characters += sum(map(len, filter(None, cells)))
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
            return [(cell or "")[:200] for cell in cells]
    raise Empty("The file is empty.")


def _fit_to_width(cells: list[str | None], width: int, number: int) -> list[str | None]:
    """Return the first `width` cells, and the first non-empty cell beyond them, if any; it becomes an error."""
    if any(cell is not None and len(cell) > MAX_CELL_CHARACTERS for cell in cells):
        raise TooMuch(f"A cell of row {number:,} has more than {MAX_CELL_CHARACTERS:,} characters.")
    outside = next(filter(None, cells[width:]), None)
    return cells[:width] + ([outside] if outside else [])
