"""The rows of a workbook: values by calamine, and what it drops by `sheet_scan`."""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import python_calamine as calamine

from exports.sandbox import isolation
from exports.sandbox.tasks import number_formats, sheet_scan
from exports.sandbox.tasks.sheet_scan import Mark
from exports.sandbox.tasks.unreadable import Broken, Empty, NotText, TooMuch

# By Excel's specification.
MAX_SHEET_ROWS: Final = 1_048_576
MAX_SHEET_COLUMNS: Final = 16_384
MAX_ARCHIVE_MEMBERS: Final = 10_000
# Of an uncompressed workbook: cells and shared strings.
MAX_UNPACKED_BYTES: Final = 256 * 1024**2
MAX_MEMORY_BYTES: Final = 768 * 1024**2
_BLOCK_BYTES: Final = 1024 * 1024
# A row number or reference of a cell with so many digits or letters that it is looked at more closely. An unusual
# spelling of the attribute is left to the limits of memory and of the sheet.
_FAR_REFERENCE: Final = re.compile(rb' r="([A-Z]{0,3})0*([1-9][0-9]{6,})"| r="[A-Z]{4}')
_REFERENCE_BYTES: Final = 64
# Characters of a number of at most 15 digits with a point.
_MAX_SHORT: Final = 16
# A whole number from here on has more digits than a spreadsheet keeps.
_TOO_LONG: Final = 10**15
# A text, or a list of its kind, its text, its address and what the sheet shows, as far as there are any.
PackedCell = str | list[str] | None
Row = tuple[int, list[PackedCell]]
_NO_MARKS: Final[Mapping[int, Mark]] = {}


def read_rows(raw: bytes) -> Iterator[Row]:
    """Yield the number and cells of each row of the first visible sheet that is not blank; raises Unreadable."""
    _check_archive(raw)
    with isolation.limit_memory(MAX_MEMORY_BYTES):
        sheet = _open_sheet(raw)
        if sheet.end and (sheet.end[0] >= MAX_SHEET_ROWS or sheet.end[1] >= MAX_SHEET_COLUMNS):
            raise _far_cell()
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            marks = sheet_scan.read_marks(archive, sheet.name)
        first_column = sheet.start[1] if sheet.start else 0
        number = 0
        for number, cells in enumerate(sheet.iter_rows(), 1):
            row_marks = marks.get(number, _NO_MARKS)
            # Most rows between two cells that are far apart are empty: a million takes half a second so.
            if row_marks or cells.count("") < len(cells):
                yield number, _pack_row(number, cells, first_column, row_marks)
        # The parser takes errors and missing results for empty cells: it ends before rows that have nothing else.
        for number in sorted(each for each in marks if each > number):
            yield number, _pack_row(number, [], first_column, marks[number])


def _open_sheet(raw: bytes) -> Any:
    """Return the first visible sheet; raises Unreadable."""
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(raw))
        visible_sheets = [
            each.name for each in book.sheets_metadata if each.visible is calamine.SheetVisibleEnum.Visible
        ]
        if not visible_sheets:
            raise Empty("The workbook has no visible sheet.")
        return book.get_sheet_by_name(visible_sheets[0])
    except calamine.PasswordError:
        raise NotText("The workbook is protected by a password.") from None
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise Broken("The workbook cannot be read: it is broken or not XLSX.") from error


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


def _pack_row(number: int, cells: Sequence[Any], first_column: int, marks: Mapping[int, Mark]) -> list[PackedCell]:
    """Return the cells of a row from its first column on."""
    packed: list[PackedCell] = []
    for column, cell in enumerate(cells, first_column):
        packed.append(None if cell == "" else _pack_cell(cell, number, column, marks.get(column)))
    for column, mark in marks.items():
        if mark.format:
            continue
        position = column - first_column if column >= first_column else len(packed)
        packed += [None] * (position + 1 - len(packed))
        kind = "error" if mark.error else "formula"
        packed[position] = [kind, mark.error, f"{sheet_scan.column_letters(column)}{number}"]
    return packed


def _pack_cell(cell: Any, number: int, column: int, mark: Mark | None) -> PackedCell:
    """Return a cell as a CSV would hold it. Spreadsheets have no time zones: times are UTC."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, float) and mark is None and (text := _short_number(cell)):
        return text
    address = f"{sheet_scan.column_letters(column)}{number}"
    if isinstance(cell, bool):
        return ["boolean", str(cell).upper(), address]
    if isinstance(cell, int | float):
        return _pack_number(cell, address, mark.format if mark else "")
    if isinstance(cell, datetime):
        # The serial number of a date is exact to some microseconds only.
        rounded = cell + timedelta(microseconds=500)
        return ["date", f"{rounded.isoformat(timespec='milliseconds').removesuffix('.000')}Z", address]
    return ["date", str(cell) if isinstance(cell, timedelta) else cell.isoformat(), address]


def _short_number(value: float) -> PackedCell:
    """Return a number of at most 15 digits, None for another. Most numbers are so: this takes little time."""
    text = repr(value)
    if len(text) > _MAX_SHORT or "e" in text or "n" in text:
        return None
    whole, _, fraction = text.partition(".")
    # A whole number has one reading as a text, too.
    return whole if fraction == "0" else ["number", text]


def _pack_number(value: float, address: str, code: str) -> PackedCell:
    """Return a number as its 15 significant digits, which are those that spreadsheets show and keep."""
    text = f"{value:.15g}"
    if "e" in text:
        text = format(Decimal(text), "f")
    if abs(value) >= _TOO_LONG or float(text) != value:
        return ["rounded", text, address]
    if code and number_formats.is_scientific(code):
        return ["scientific", text, address, code]
    if code and (shown := number_formats.render(text, code) if text.isdecimal() else None) != text:
        return ["formatted", text, address, code] if shown is None else ["padded", text, address, shown]
    return text if text.isdecimal() else ["number", text]
