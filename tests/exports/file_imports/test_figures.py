"""Figures in texts: one reading is taken, two are refused or warned about."""

import pytest

from exports.file_imports import figures
from exports.file_imports.figures import AmbiguousFigure

COMMAS, SEMICOLONS, TABS, WORKBOOK = (figures.decimal_marks(each) for each in (",", ";", "\t", ""))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"),
        ("0.250", "0.250"),
        ("1.5", "1.5"),
        ("1000.000", "1000.000"),
        ("1.2340", "1.2340"),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("1.234.567", "1234567"),
        ("1,234,567.891", "1234567.891"),
        ("1\u00a0234", "1234"),
        ("12\u202f345.5", "12345.5"),
        ("1'234.50", "1234.50"),
    ],
)
@pytest.mark.parametrize("marks", [COMMAS, SEMICOLONS, TABS, WORKBOOK])
def test_a_figure_with_one_reading_is_taken_in_every_file(text: str, number: str, marks: str) -> None:
    assert figures.normalize(text, marks) == (number, "")


@pytest.mark.parametrize(("text", "number"), [("12,5", "12.5"), ("0,250", "0.250"), ("1234,567", "1234.567")])
def test_a_decimal_comma_is_taken_but_in_files_separated_by_commas(text: str, number: str) -> None:
    assert [figures.normalize(text, marks)[0] for marks in (SEMICOLONS, TABS, WORKBOOK, COMMAS)] == [
        number, number, number, text,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "marks", "sentence"),
    [
        ("1.000", SEMICOLONS, "1.000 can be read as 1000 or as 1: write 1000 or 1."),
        ("12.500", TABS, "12.500 can be read as 12500 or as 12.5: write 12500 or 12.5."),
        ("1,234", TABS, "1,234 can be read as 1234 or as 1.234: write 1234 or 1.2340."),
        ("1,234", COMMAS, "1,234 can be read as 1234 or as 1.234: write 1234 or 1.2340."),
        ("1.234", WORKBOOK, "1.234 can be read as 1234 or as 1.234: write 1234 or 1.2340."),
    ],
)
def test_a_figure_with_two_readings_is_refused_with_both(text: str, marks: str, sentence: str) -> None:
    with pytest.raises(AmbiguousFigure) as refused:
        figures.normalize(text, marks)

    assert str(refused.value) == sentence


def test_the_mark_of_the_file_is_taken_and_a_comma_warned_about() -> None:
    assert figures.normalize("1.234", COMMAS) == ("1.234", "")
    assert figures.normalize("1,234", SEMICOLONS) == (
        "1.234", "1,234 is read as 1.234, not as 1234: semicolons separate the cells.",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["12,34,567", "1.234.56", "1,5,5", "1 2", "1'23", "1,234 567", "-1.000", "1.000 kg"]
)
def test_what_is_no_figure_is_left_to_its_parser(text: str) -> None:
    assert figures.normalize(text, COMMAS) == (text, "")
