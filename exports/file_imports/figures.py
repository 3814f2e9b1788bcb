"""Figures as people and programs write them in texts: decimal and thousands separators.

A figure that has one reading is taken. One that has two, such as `1.000` in a file of a spreadsheet that writes
decimals with a comma, is refused with both.
"""

import re
from typing import Final

from shipments.parsing.values import InvalidValue

# The marks of decimals by what separates the cells of a file. Files separated by commas are written by programs
# and in locales that write a point, those separated by semicolons where the comma is the decimal mark; tabs tell
# nothing, and neither does a text in a workbook.
_MARKS_BY_DELIMITER: Final = {",": ".", ";": ","}
UNKNOWN_MARKS: Final = ".,"
_GROUP_MARKS: Final = " \u00a0\u202f'\u2019"
_FIGURE: Final = re.compile(rf"\d+(?:[.,{_GROUP_MARKS}]\d+)+", re.ASCII)
_SEPARATOR: Final = re.compile(r"\D", re.ASCII)
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(?:\D\d{3})+", re.ASCII)


class AmbiguousFigure(InvalidValue):
    """The figure can be read in two ways; the message tells both."""

    code: Final = "ambiguous"


def decimal_marks(delimiter: str) -> str:
    """Return the decimal marks, `.`, `,` or both, of a file that is separated so; the first that fits is taken."""
    return _MARKS_BY_DELIMITER.get(delimiter, UNKNOWN_MARKS)


def normalize(text: str, marks: str) -> tuple[str, str]:
    """Return a figure without thousands separators and with a decimal point, and a warning, empty where none.

    `marks` are those of `decimal_marks`. A text that is no figure comes back as it is, for its parser to refuse.
    Raises AmbiguousFigure.
    """
    if not _FIGURE.fullmatch(text):
        return (text.replace(",", ".", 1) if "," in marks and "." not in text else text), ""
    *groups, last = _SEPARATOR.findall(text)
    whole, _, rest = text.rpartition(last)
    if not groups:
        return _normalize_one_mark(text, whole, last, rest, marks)
    if len(set(groups)) > 1 or not _GROUPED.fullmatch(whole):
        return text, ""
    if last not in groups and last in ".,":
        return f"{_digits(whole)}.{rest}", ""
    return (_digits(text) if last in groups and len(rest) == 3 else text), ""


def _normalize_one_mark(text: str, whole: str, mark: str, rest: str, marks: str) -> tuple[str, str]:
    is_grouped = _GROUPED.fullmatch(text) is not None
    if mark not in ".,":
        return (_digits(text) if is_grouped else text), ""
    decimal = f"{whole}.{rest}"
    if is_grouped and mark != marks:
        readings = f"{_digits(text)} or as {_plain(decimal)}"
        raise AmbiguousFigure(f"{text} can be read as {readings}: write {_digits(text)} or {_longer(decimal)}.")
    if is_grouped and mark == ",":
        readings = f"{_plain(decimal)}, not as {_digits(text)}"
        return decimal, f"{text} is read as {readings}: semicolons separate the cells."
    # A point is a decimal mark in every file: no thousands separator stands before other than three digits.
    return (decimal if mark == "." or mark in marks else text), ""


def _digits(text: str) -> str:
    return _SEPARATOR.sub("", text)


def _plain(decimal: str) -> str:
    return decimal.rstrip("0").rstrip(".")


def _longer(decimal: str) -> str:
    """Return a decimal so that it has one reading: without zeros at its end, else with one more."""
    return plain if len(plain := _plain(decimal)) < len(decimal) else f"{decimal}0"
