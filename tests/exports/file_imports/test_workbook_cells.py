"""The cells of workbooks: numbers, identifiers, errors and formulas as a spreadsheet shows them, or refused."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports.file_imports import columns, figures, row_parsing, table
from exports.sandbox.tasks import spreadsheets
from shipments.intake import ImportRow
from tests.exports.file_imports.workbook_cells import edit_sheet, header_and_rows, number, text, workbook

ROUTE: Final = (text("A-1"), text("NLRTM"), text("DEHAM"))
FORMATS: Final = ("00000", '"PO-"0000', "0.00E+00", "#,##0.00", "0%", "yyyy-mm-dd")
PADDED, PREFIXED, SCIENTIFIC, GROUPED, PERCENT, DATE = FORMATS
NONE: Final = ""


def parse(raw: bytes) -> ImportRow:
    """Return the only row of a file, as an import parses it."""
    content, metadata = spreadsheets.read_table({"mostRows": 10}, [raw])
    [(row, cells)] = table.iter_packed_rows(content)
    marks = figures.decimal_marks(metadata["delimiter"])
    return row_parsing.parse_row(row, cells, columns.match_header(metadata["header"]), decimal_marks=marks)


def parse_cells(*cells: str, **options: Any) -> ImportRow:
    return parse(workbook((*ROUTE, *cells), formats=FORMATS, **options))


def problems(row: ImportRow) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return field and code of the errors and warnings of a row."""
    return (
        [(each["field"], each["code"]) for each in row.errors],
        [(each["field"], each["code"]) for each in row.warnings],
    )


@pytest.mark.parametrize(
    ("cell", "po", "warning"),
    [
        (number("4711"), "4711", None),
        (number("123456789012345"), "123456789012345", None),
        (number("1.23456789012E+11"), "123456789012", None),
        (number("12.5"), "12.5", None),
        (number("1234", FORMATS.index(GROUPED) + 1), "1234", None),
        (number("123", FORMATS.index(PADDED) + 1), "00123", "as_shown"),
        (number("123456", FORMATS.index(PADDED) + 1), "123456", None),
        (number("123", FORMATS.index(PREFIXED) + 1), "PO-0123", "as_shown"),
        (number("7", FORMATS.index(PERCENT) + 1), "7", "formatted"),
        (text("00123"), "00123", None),
        (text("9400111899223817000123"), "9400111899223817000123", None),
        (text("12E5"), "12E5", None),
        (text("\u200b 4711\u00a0\ufeff"), "4711", None),
    ],
)
def test_an_identifier_is_read_as_it_is_shown(cell: str, po: str, warning: str | None) -> None:
    row = parse_cells(cell)

    assert row.values["references"] == {"po": po}
    assert problems(row) == ([], [("po", warning)] if warning else [])


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (number("1234567890123456"), "rounded"),
        (number("9.4001118992238193E+21"), "rounded"),
        (number("1234567890123.4567"), "rounded"),
        (number("123", FORMATS.index(SCIENTIFIC) + 1), "scientific"),
        (number("46083", FORMATS.index(DATE) + 1), "not_text"),
        ('<c r="@" t="b"><v>1</v></c>', "not_text"),
        ('<c r="@" t="e"><v>#N/A</v></c>', "error_value"),
        ('<c r="@" t="e"><f>1/0</f><v>#DIV/0!</v></c>', "error_value"),
        ('<c r="@"><f>A1</f></c>', "no_result"),
        (text("47_x0000_11"), "invisible_character"),
    ],
)
def test_what_has_lost_digits_is_no_identifier(cell: str, code: str) -> None:
    row = parse_cells(cell)

    assert (row.values.get("references"), problems(row)) == (None, ([("po", code)], []))
    assert ("D2" in row.errors[0]["message"]) == (code != "invisible_character")


@pytest.mark.parametrize(
    ("cell", "kg"),
    [
        (number("57.699999999999996"), "57.7"),
        (number("0.30000000000000004"), "0.3"),
        (number("1102.3000000000002"), "1102.3"),
        (number("1.234"), "1.234"),
        (number("1000"), "1000"),
        (number("1E-3"), "0.001"),
        (number("1234.5", FORMATS.index(GROUPED) + 1), "1234.5"),
        (text("1.234,5"), "1234.5"),
        ('<c r="@"><f>10*2.5</f><v>25</v></c>', "25"),
    ],
)
def test_a_number_counts_with_15_significant_digits(cell: str, kg: str) -> None:
    row = parse_cells(NONE, cell)

    assert (str(row.values["weightKg"]), problems(row)) == (kg, ([], []))


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (number("1.23456"), "invalid"),
        (number("46083", FORMATS.index(DATE) + 1), "invalid"),
        ('<c r="@" t="b"><v>1</v></c>', "invalid"),
        (text("1.000"), "ambiguous"),
        (text("1,234"), "ambiguous"),
        (number("1E999"), "invalid"),
    ],
)
def test_other_numbers_are_refused(cell: str, code: str) -> None:
    assert problems(parse_cells(NONE, cell)) == ([("weightKg", code)], [])


NO_RESULTS: Final = (
    '<c r="@"><f>10*2.5</f></c>',
    '<c r="@"><f>10*2.5</f><v></v></c>',
    '<c r="@"><f>10*2.5</f><v/></c>',
    '<c r="@" t="str"><f>A1&amp;B1</f></c>',
    '<c r="@"><f t="shared" si="0"/></c>',
    "<c r='@'><f>10*2.5</f></c>",
    "<c><f>10*2.5</f></c>",
)


@pytest.mark.parametrize("cell", NO_RESULTS)
@pytest.mark.parametrize("last", [True, False])
def test_a_formula_without_a_result_is_an_error(cell: str, last: bool) -> None:
    row = parse_cells(NONE, cell, *([] if last else [number("7")]))

    column = "D" if cell.startswith("<c>") else "E"  # without an address a cell follows the one before it
    field = "po" if cell.startswith("<c>") else "weightKg"
    assert problems(row) == ([(field, "no_result")], [])
    assert f"Cell {column}2 is a formula" in row.errors[0]["message"]


def test_an_empty_text_is_a_result() -> None:
    row = parse_cells('<c r="@" t="str"><f>IF(1,"")</f><v></v></c>', number("5"))

    assert (row.values.get("references"), problems(row)) == (None, ([], []))


def test_the_zero_of_a_program_that_calculates_nothing_is_no_result() -> None:
    formula = '<c r="@"><f>10*2.5</f><v>0</v></c>'

    assert problems(parse_cells(NONE, formula, recalculates=True)) == ([("weightKg", "no_result")], [])
    assert problems(parse_cells(NONE, formula)) == ([], [])


def test_a_row_with_nothing_but_an_error_is_reported() -> None:
    rows = header_and_rows([[*ROUTE, number("1")], ['<c r="E3" t="e"><v>#REF!</v></c>']])
    content, _ = spreadsheets.read_table({"mostRows": 10}, [_with_rows(rows)])

    at, cells = list(table.iter_packed_rows(content))[1]
    assert (at, [each for each in cells if each]) == (3, [["error", "#REF!", "E3"]])


def test_addresses_are_those_of_the_sheet_where_it_begins_further_right() -> None:
    header = '<c r="C4" t="str"><v>Reference</v></c><c r="D4" t="str"><v>Weight kg</v></c>'
    cells = '<c r="C5" t="str"><v>A-1</v></c><c r="D5" t="e"><v>#NUM!</v></c>'

    row = parse(_with_rows(f'<row r="4">{header}</row><row r="5">{cells}</row>'))

    assert (row.row, row.reference, row.errors) == (
        5, "A-1",
        [{"field": "weightKg", "code": "error_value", "message": "Cell D5 is the error #NUM!."}],
    )  # fmt: skip


def test_dates_and_truth_values_are_read_as_notes_with_a_warning() -> None:
    row = parse_cells(NONE, NONE, NONE, number("46083", FORMATS.index(DATE) + 1))

    assert (row.values["notes"], problems(row)) == ("2026-03-02", ([], [("notes", "formatted")]))


@pytest.mark.parametrize(
    "po", ["1.23E+11", "1,23e+5", "1.0E10", "4711\n9.4E+21", "#N/A", "#NV", "#####", "Err:502", "47\u200b11"]
)
def test_what_a_spreadsheet_made_of_an_identifier_is_suspected(po: str) -> None:
    row = parse(f'Reference,PO\nA-1,"{po}"\n'.encode())

    assert [each["field"] for each in row.suspicions] == ["po"]


def test_the_zeros_of_a_rounded_number_are_warned_about() -> None:
    row = parse(b"Reference,PO,BOL\nA-1,940011189922381000,940011189922381001\n")

    assert problems(row) == ([], [("po", "rounded")])


DIGITS: Final = st.text("0123456789", min_size=1, max_size=24)


@given(digits=DIGITS, style=st.integers(0, len(FORMATS) - 1))
def test_no_import_changes_a_digit_of_a_number_cell(digits: str, style: int) -> None:
    row = parse_cells(number(digits, style))

    if row.errors:
        assert [each["code"] for each in row.errors] in (["rounded"], ["scientific"])
        assert len(digits.lstrip("0")) > 15 or FORMATS[style - 1] == SCIENTIFIC
        return
    [po] = row.values["references"].values()
    plain = digits.lstrip("0") or "0"
    code = ("General", *FORMATS)[style]
    shown = {PADDED: plain.zfill(5), PREFIXED: f"PO-{plain.zfill(4)}"}.get(code, plain)
    warnings = ["as_shown"] if shown != plain else ["formatted"] if code == PERCENT else []
    assert (po, [each["code"] for each in row.warnings]) == (shown, warnings)


@given(digits=DIGITS, separator=st.sampled_from(",;\t"), is_workbook=st.booleans())
def test_no_import_changes_a_digit_of_a_text(digits: str, separator: str, is_workbook: bool) -> None:
    lines = separator.join(("Reference", "PO", "Notes")) + "\n" + separator.join((digits, digits, digits)) + "\n"
    raw = workbook((text(digits), NONE, NONE, text(digits), NONE, NONE, text(digits)))

    row = parse(raw if is_workbook else lines.encode())

    assert (row.reference, row.values["references"], row.values["notes"]) == (digits, {"po": digits}, digits)


def _with_rows(rows: str) -> bytes:
    return edit_sheet(workbook(()), rows)
