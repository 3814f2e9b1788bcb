"""What the parser of workbooks drops of a sheet: errors, formulas without a result, and number formats of cells.

It reads the XML of the sheet once more, element by element; values are left to the parser.
"""

import posixpath
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Final
from xml.parsers import expat

from exports.sandbox.tasks import number_formats
from exports.sandbox.tasks.unreadable import Broken

_BLOCK_BYTES: Final = 1024 * 1024
_WORKBOOK: Final = "xl/workbook.xml"
_RELATIONSHIPS: Final = "xl/_rels/workbook.xml.rels"
_STYLES: Final = "xl/styles.xml"
_OVERLAP_BYTES: Final = 64
# Other quotes, blanks around the equals sign, a prefix, two bytes a character: no spreadsheet program writes them.
_UNUSUAL_SPELLING: Final = re.compile(rb"='| =|= |:row|r\0")
Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is special about a cell: its error, a missing result (both empty), or the code of its number format."""

    error: str = ""
    format: str = ""


Marks = Mapping[int, Mapping[int, Mark]]
_NO_RESULT: Final = Mark()


def read_marks(archive: zipfile.ZipFile, sheet_name: str) -> Marks:
    """Return the marks of a sheet's cells, by row (from 1) and column (from 0); raises Broken."""
    members = {each.filename.replace("\\", "/").lower(): each for each in archive.infolist()}
    try:
        book = _Workbook()
        _parse(archive, members[_WORKBOOK], book.start)
        targets: dict[str, str] = {}
        _parse(archive, members[_RELATIONSHIPS], lambda name, attributes: _add_target(targets, name, attributes))
        formats = _Styles()
        if _STYLES in members:
            _parse(archive, members[_STYLES], formats.start)
        sheet = members[_path(targets[book.sheets[sheet_name]])]
        return _scan(archive, sheet, formats.special(), recalculates=book.recalculates)
    except (KeyError, ValueError, expat.ExpatError) as error:
        raise Broken("The workbook cannot be read: it is broken or not XLSX.") from error


def _path(target: str) -> str:
    """Return the name of a file that a workbook refers to: from the root of the archive, or from its folder."""
    path = target.replace("\\", "/").lower()
    return posixpath.normpath(path if path.startswith(("/", "xl/")) else f"xl/{path}").lstrip("/")


def _parse(archive: zipfile.ZipFile, member: zipfile.ZipInfo, start: Callable[[str, Attributes], None]) -> None:
    """Call `start` with the name, without its prefix, and the attributes of each element."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: start(_local(name), attributes)
    with archive.open(member) as file:
        _feed(parser, file)


def _feed(parser: Any, file: IO[bytes]) -> None:
    while block := file.read(_BLOCK_BYTES):
        parser.Parse(block, False)
    parser.Parse(b"", True)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _add_target(targets: dict[str, str], name: str, attributes: Attributes) -> None:
    if name == "Relationship":
        targets[attributes["Id"]] = attributes["Target"]


class _Workbook:
    """The sheets of a workbook, each with the id of its file."""

    def __init__(self) -> None:
        self.sheets: dict[str, str] = {}
        # Whether its program left all results to the spreadsheet that opens it: a result of 0 is none then.
        self.recalculates = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "sheet":
            relation = next((value for key, value in attributes.items() if _local(key) == "id" and key != "id"), "")
            self.sheets[attributes["name"]] = relation
        elif name == "calcPr":
            self.recalculates = attributes.get("fullCalcOnLoad") in {"1", "true"}


class _Styles:
    """The number formats of the styles that cells have."""

    def __init__(self) -> None:
        self._codes = dict(number_formats.BUILT_IN)
        self._ids: list[int] = []
        self._is_cell_style = False

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "numFmt":
            self._codes[int(attributes["numFmtId"])] = attributes["formatCode"]
        elif name == "xf" and self._is_cell_style:
            self._ids.append(int(attributes.get("numFmtId", "0")))
        elif name in {"cellXfs", "cellStyleXfs", "cellStyles", "dxfs"}:
            self._is_cell_style = name == "cellXfs"

    def special(self) -> dict[str, Mark]:
        """Return the formats that show a whole number in another way, by the index of their style."""
        codes = [self._codes.get(each, f"no. {each}") for each in self._ids]
        return {
            str(index): Mark(format=code) for index, code in enumerate(codes) if not number_formats.is_plain(code)
        }


def _scan(
    archive: zipfile.ZipFile, sheet: zipfile.ZipInfo, formats: Mapping[str, Mark], *, recalculates: bool
) -> Marks:
    if not _may_have_marks(archive, sheet, formats, recalculates=recalculates):
        return {}
    scanner = _Scanner(formats, recalculates=recalculates)
    with archive.open(sheet) as file:
        _feed(scanner.parser, file)
    scanner.end_cell()
    return scanner.marks


def _may_have_marks(
    archive: zipfile.ZipFile, sheet: zipfile.ZipInfo, formats: Iterable[str], *, recalculates: bool
) -> bool:
    """Tell whether the sheet's bytes look as if there were marks: to parse them takes ten times as long."""
    patterns = _suspicious_bytes(formats, recalculates=recalculates)
    rest = b""
    with archive.open(sheet) as file:
        while block := file.read(_BLOCK_BYTES):
            if not rest and _UNUSUAL_SPELLING.search(block):
                return True
            window = rest + block
            # What ends the window is looked at with the next block: the value of a formula may not be read yet.
            limit = len(window) - _OVERLAP_BYTES
            if any(found.start() < limit for each in patterns if (found := each.search(window))):
                return True
            rest = window[-2 * _OVERLAP_BYTES :]
    return any(each.search(rest) for each in patterns)


def _suspicious_bytes(formats: Iterable[str], *, recalculates: bool) -> list[re.Pattern[bytes]]:
    """Return the patterns of an error, of a formula without a value, and of a cell with one of the formats."""
    # A program that calculates nothing gives its formulas the value 0.
    value = rb"<v>(?:0[^<]|[^0<])" if recalculates else rb"<v>[^<]"
    patterns = [rb't="e"', rb"/f>(?!%s)" % value, rb"<f[^>]*/>(?!%s)" % value]
    if styles := "|".join(formats):
        patterns.append(rb's="(?:%s)"' % styles.encode())
    # One pattern for each: what begins with fixed bytes is searched ten times as fast as alternatives.
    return [re.compile(each) for each in patterns]


class _Scanner:
    """Collects the marks of the cells of a sheet. It is called for millions of elements: twice for most cells."""

    def __init__(self, formats: Mapping[str, Mark], *, recalculates: bool) -> None:
        self.marks: dict[int, dict[int, Mark]] = {}
        self._row_marks: dict[int, Mark] = {}
        self._formats, self._recalculates = formats, recalculates
        self._row = self._column = 0
        # Of the cell that is open: its type, whether it is a formula, an error or neither, and its value.
        self._type = "n"
        self._is_open = self._is_formula = self._is_watched = self._has_value = False
        self._texts: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._texts.append

    def _start(self, name: str, attributes: Attributes) -> None:
        local = name.rpartition(":")[2] if ":" in name else name
        if local == "v":
            self._texts.clear()
            self._has_value = True
        elif local == "c":
            if self._is_watched:
                self.end_cell()
            self._start_cell(attributes)
        elif local == "f":
            if self._is_open:
                self._is_formula = self._is_watched = True
        else:
            self.end_cell()
            self._is_open = False  # what follows the rows has formulas of its own
            if local == "row":
                self._row = int(attributes.get("r", self._row + 1))
                self._column = -1
                self._row_marks = {}

    def _start_cell(self, attributes: Attributes) -> None:
        self._is_open, self._has_value = True, False
        if "r" in attributes:
            self._column = column_number(attributes["r"])
        else:
            self._column += 1
        kind = self._type = attributes.get("t", "n")
        if kind == "e":
            self._is_watched = True
        elif kind == "n" and (style := self._formats.get(attributes.get("s", ""))):
            self._add(style)

    def end_cell(self) -> None:
        """Add the mark of the cell that was open, if it is an error or has no result."""
        if not self._is_watched:
            return
        value = "".join(self._texts).strip() if self._has_value else None
        if self._type == "e":
            self._add(Mark(error=value or "#N/A"))
        elif self._is_formula and self._lacks_result(value):
            self._add(_NO_RESULT)
        self._is_formula = self._is_watched = False

    def _lacks_result(self, value: str | None) -> bool:
        # An empty text is a result, too.
        return value is None or (
            self._type != "str" and (not value or (self._recalculates and self._type == "n" and value == "0"))
        )

    def _add(self, mark: Mark) -> None:
        if not self._row_marks:
            self.marks[self._row] = self._row_marks
        self._row_marks[self._column] = mark


@lru_cache(maxsize=1024)
def _column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def column_number(address: str) -> int:
    """Return the number of a column from 0, of an address such as B5."""
    return _column_number(address.rstrip("0123456789").upper())


@lru_cache(maxsize=1024)
def column_letters(number: int) -> str:
    """Return the letters of a column, which is counted from 0."""
    letters, number = "", number + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
