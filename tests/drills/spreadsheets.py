"""Exports opened and saved again by a spreadsheet program: no text becomes a formula, and no value another one.

The program is LibreOffice without a screen. It reads CSV twice. Once with no column marked: formulas are
evaluated, and what looks like a number or a time becomes one, which no CSV can prevent for order numbers. Once
with the columns of texts marked as such: then every cell must be what was exported. Split at other separators than
the comma, as in other locales, cells are others, but none may be a formula. As controls, which show that a formula
would be detected, the same texts are read without the protecting apostrophes.
"""

import csv
import io
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson
from django.http import QueryDict
from python_calamine import CalamineWorkbook

from exports.reports import definitions, execution, format_registry, report_query
from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import Customer
from tests.drills.harness import fixtures
from tests.drills.harness.environment import require_own_database

INSTALL: Final = "apt-get install -y --no-install-recommends libreoffice-calc"
_SECONDS: Final = 120
_BLANKS: Final = ("", " ", "  ", "\u00a0", " \u00a0", "\u3000", "\u200b", "\ufeff", "\t", "\r", "\n", "'")
_CELL_ENDS: Final = ("a;", "a\t", "a\n", "a\r\n", "a, b;", 'a";', 'a;"', "a; ", "a;\u200b", "a;'", "a\n'")
_FORMULA_STARTS: Final = ("=1+1", "+1+1", "-1+1", "@SUM(1;1)", "\uff1d1+1", "\uff0b1", "\uff0d1")
_PLAIN_TEXTS: Final = (
    '=HYPERLINK("http://127.0.0.1:9/x";"y")', "-2+3+cmd|' /C calc'!A0", "=1+1\";=1+1", "\t", "\r", "=",
    'Ann, "the" van', "O'Neill", "'quoted'", '"', ",;\t|", "two\nlines", "two\r\nlines", "Käse & Öl GmbH", "Łódź",
    "שלום עולם", "شركة النقل", "陽光電子", "ひらがな", "🚚 van", "👩‍👩‍👧", "{0} %s \\N", "<b>&amp;</b>", "_x000D_",
)  # fmt: skip
# Texts that a spreadsheet takes for numbers and dates.
_NUMBER_LIKE_TEXTS: Final = (
    "00042", "007", "12345678901234567890", "4500012345", "1E5", "0x1F", "1-2", "3/4", "2026-03-04", "01.02.2026",
    "12:30", "1,5", "1.50", "50 %", "TRUE", "#N/A", "$5", "(5)", "1e400",
)  # fmt: skip
TEXTS: Final = (
    tuple(blank + sign for blank in (*_BLANKS, *_CELL_ENDS) for sign in _FORMULA_STARTS)
    + _PLAIN_TEXTS
    + _NUMBER_LIKE_TEXTS
)
FIELDS: Final = (
    "reference", "customer", "po", "notes", "status", "pieces", "weightKg", "volumeM3", "createdAt",
    "plannedPickupAt", "plannedDeliveryAt", "eta",
)  # fmt: skip
_NUMBER_FIELDS: Final = frozenset({"pieces", "weightKg", "volumeM3"})
_TIME_FIELDS: Final = frozenset({"createdAt", "plannedPickupAt", "plannedDeliveryAt", "eta"})
# A workbook has times as days since 1899 in a float.
_TIME_TOLERANCE: Final = timedelta(milliseconds=1)
_SPREADSHEET_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  a workbook has no time zones


_TYPED_FIELDS: Final = _NUMBER_FIELDS | _TIME_FIELDS
_PICKUP: Final = datetime(2026, 2, 28, 23, 59, 59, 250_000, UTC)
_LEAP_DAY: Final = datetime(2028, 2, 29, tzinfo=UTC)
_MAX_EXAMPLES: Final = 10
_OTHER_SEPARATORS: Final = (";", "\t", ",;\t")
Table = Sequence[Sequence[Any]]


class LibreOfficeMissing(Exception):
    """There is no LibreOffice on this machine."""


@dataclass(slots=True)
class Evidence:
    """The result of one file.

    `formulas`: cells that were formulas after it was saved. `spoiled`: cells that are not what was exported.
    `separators`: where the program splits a CSV; at others than a comma, formulas alone are counted. `excused`:
    texts that look like a number or a time, in a CSV that is read without marked columns.
    """

    file: str
    saved_as: str
    rows: int
    marked: bool
    # The texts of the control have no apostrophes: there, formulas must be found.
    control: bool = False
    separators: str = ","
    cells: int = 0
    excused: int = 0
    formulas: int = 0
    spoiled: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every cell was compared and is what was exported, or the control shows the formulas."""
        if self.control:
            return self.formulas > 0
        if self.separators != ",":
            return self.formulas == 0
        looked_at = self.cells + self.excused == (self.rows + 1) * len(FIELDS) and self.cells > self.excused
        return looked_at and self.rows == len(TEXTS) and not (self.formulas or self.spoiled)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "spreadsheets", "holds": self.holds} | asdict(self)

    def compare(self, exported: Table, saved: Table) -> None:
        """Compare two tables cell by cell; a cell that only one of them has is spoiled, too."""
        for row in range(max(len(exported), len(saved))):
            for column, name in enumerate(FIELDS):
                expected, actual = _cell(exported, row, column), _cell(saved, row, column)
                if not self.marked and name not in _TYPED_FIELDS and _looks_like_number(expected):
                    self.excused += 1
                    continue
                self.cells += 1
                if not self._is_same(name if row else "", expected, actual):
                    self.spoiled += 1
                    if len(self.examples) < _MAX_EXAMPLES:
                        self.examples.append(f"{name}: {expected!r} became {actual!r}")

    def _is_same(self, name: str, expected: Any, actual: Any) -> bool:
        if expected == "" or actual == "":
            return bool(expected == actual)
        if name in _NUMBER_FIELDS:
            is_number = self.saved_as == "csv" or isinstance(actual, int | float)
            return is_number and Decimal(str(expected)) == Decimal(str(actual))
        if name in _TIME_FIELDS:
            return abs(_to_datetime(expected) - _to_datetime(actual)) <= _TIME_TOLERANCE
        return bool(_normalize_line_breaks(expected) == _normalize_line_breaks(actual))


def run() -> Iterator[Evidence]:
    """Export an organisation of its own and have each file opened and saved; raises LibreOfficeMissing."""
    program = shutil.which("soffice")
    if program is None:
        raise LibreOfficeMissing(f"This drill has LibreOffice open the exports, and there is none here: {INSTALL}")
    require_own_database()
    by = _create_shipments()
    with tempfile.TemporaryDirectory(prefix="freight-spreadsheets-") as name:
        office = _LibreOffice(program, Path(name))
        unescaped, raw = _unescaped_csv(by), _export(by, "csv", bom="1")
        yield office.evaluate("csv", unescaped, "xlsx", marked=False, control=True)
        yield office.evaluate("csv", raw, "xlsx", marked=False)
        yield office.evaluate("csv", raw, "xlsx")
        yield office.evaluate("csv", raw, "csv")
        for separators in _OTHER_SEPARATORS:
            yield office.evaluate("csv", unescaped, "xlsx", marked=False, control=True, separators=separators)
            yield office.evaluate("csv", raw, "xlsx", marked=False, separators=separators)
        yield office.evaluate("xlsx", _export(by, "xlsx"), "xlsx")


class _LibreOffice:
    """LibreOffice with a home of its own, without the settings of any user."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def evaluate(
        self,
        kind: str,
        raw: bytes,
        saved_as: str,
        *,
        marked: bool = True,
        control: bool = False,
        separators: str = ",",
    ) -> Evidence:
        """Have a file opened and saved, and compare both."""
        exported, began = _read_table(kind, raw), time.monotonic()
        evidence = Evidence(kind, saved_as, len(exported) - 1, marked, control, separators)
        saved = self._convert(kind, raw, saved_as, _csv_filter(separators, marked=marked))
        evidence.seconds = round(time.monotonic() - began, 2)
        evidence.formulas = 0 if saved_as == "csv" else _count_formulas(saved)
        if not control and separators == ",":
            evidence.compare(exported, _read_table(saved_as, saved))
        return evidence

    def _convert(self, kind: str, raw: bytes, saved_as: str, csv_filter: str) -> bytes:
        input_path, output_dir = self._folder / f"sent.{kind}", self._folder / "saved"
        input_path.write_bytes(raw)
        profile_uri = (self._folder / "home").as_uri()
        filter_arguments = [f"--infilter=CSV:{csv_filter}"] if kind == "csv" else []
        target = "csv:Text - txt - csv (StarCalc):44,34,76,1" if saved_as == "csv" else saved_as
        command = [
            self._program, "--headless", "--norestore", f"-env:UserInstallation={profile_uri}", *filter_arguments,
            "--convert-to", target, "--outdir", str(output_dir), str(input_path),
        ]  # fmt: skip
        completed = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        output_path = output_dir / f"sent.{saved_as}"
        if not output_path.exists():
            raise RuntimeError(f"LibreOffice saved nothing: {completed.stdout} {completed.stderr}"[:2000])
        try:
            return output_path.read_bytes()
        finally:
            output_path.unlink()


def _csv_filter(separators: str, *, marked: bool) -> str:
    """Return the options of the CSV import: UTF-8, formulas evaluated, types detected but for marked columns."""
    texts = "/".join(f"{at}/2" for at, name in enumerate(FIELDS, 1) if marked and name not in _TYPED_FIELDS)
    codes = "/".join(str(ord(each)) for each in separators)
    return f"{codes},34,76,1,{texts},1033,false,true,false,false,false,,true"


def _count_formulas(saved: bytes) -> int:
    """Count the formulas of a workbook."""
    with zipfile.ZipFile(io.BytesIO(saved)) as book:
        sheets = [book.read(name) for name in book.namelist() if name.startswith("xl/worksheets/sheet")]
    return sum(sheet.count(b"<f>") + sheet.count(b"<f ") for sheet in sheets)


def _read_table(kind: str, raw: bytes) -> Table:
    if kind == "csv":
        return list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    return CalamineWorkbook.from_filelike(io.BytesIO(raw)).get_sheet_by_index(0).to_python()


def _cell(rows: Table, row: int, column: int) -> Any:
    return rows[row][column] if row < len(rows) and column < len(rows[row]) else ""


def _looks_like_number(value: Any) -> bool:
    """Tell whether a text looks like a number or a time to a spreadsheet."""
    return isinstance(value, str) and (value in _NUMBER_LIKE_TEXTS or value.isdigit())


def _to_datetime(value: Any) -> datetime:
    if isinstance(value, int | float):
        return _SPREADSHEET_EPOCH + timedelta(days=value)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    moment: datetime = value
    return moment.replace(tzinfo=None)


def _normalize_line_breaks(value: Any) -> Any:
    """Return a text with uniform line breaks: a workbook has one kind, and `_x000D_`."""
    if not isinstance(value, str):
        return value
    return value.replace("_x000D_", "\r").replace("\r\n", "\n").replace("\r", "\n")


def _export(by: Subject, kind: str, **parameters: str) -> bytes:
    query = QueryDict(mutable=True)
    query.update({"fields": ",".join(FIELDS), "ordering": "reference"} | parameters)
    writer = format_registry.get(kind)
    if writer is None:
        raise RuntimeError(f"Nothing is exported as {kind}.")
    sheet = execution.open_dataset(report_query.parse(definitions.SHIPMENTS, by, query), writer)
    try:
        return b"".join(writer.write(sheet))
    finally:
        sheet.reader.close()


def _unescaped_csv(by: Subject) -> bytes:
    """Return the rows as a CSV without escaping."""
    target = io.StringIO(newline="")
    csv.writer(target).writerows([FIELDS, *(row.values() for row in orjson.loads(_export(by, "json")))])
    return target.getvalue().encode()


def _create_shipments() -> Subject:
    """Book a shipment a text: as its customer's name, its order number and its notes."""
    now = datetime.now(UTC)
    organization = fixtures.organization()
    by = fixtures.dispatcher(organization)
    fixtures.locations()
    for number, text in enumerate(TEXTS):
        customer = Customer.objects.create(organization=organization, name=text, created_at=now, updated_at=now)
        services.book(
            by=by, now=now, reference=f"{number:05d}", origin="NLRTM", destination="DEHAM", status="booked",
            customer_id=customer.pk, references={"po": text}, notes=text, pieces=number + 1,
            weight_kg=Decimal(number) / 8 + Decimal("0.125"), volume_m3=Decimal("1234567.891"),
            planned_pickup_at=_PICKUP + timedelta(days=number),
            planned_delivery_at=_LEAP_DAY + timedelta(hours=number) if number % 2 else None,
        )  # fmt: skip
    return by
