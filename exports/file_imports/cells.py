"""The cells of an uploaded file, and what of them may be a text, an identifier or a number.

A cell of a CSV is a text. One of a workbook has a kind, and where it is no text or number, its address. Identifiers
are never guessed: a number that the workbook does not keep, or shows in another way, is refused or warned about.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exports.file_imports import figures
from shipments.parsing import invisible_characters
from shipments.parsing.values import InvalidValue
from shipments.selectors.reports import formulas

# What a spreadsheet shows in place of a value, in its language: #N/A, #REF!, #NAME?, #NV, #######, Err:502.
_ERROR_VALUE: Final = re.compile(r"#(?:N/[A-Z]{1,2}|NV|[\w/]{2,16}[!?]|GETTING_DATA|#{2,})|Err:\d{3}")
# As spreadsheets and programs shorten a number: 1.23E+11, 1e-7, 1.0E10. A code such as 12E5 is none.
_SCIENTIFIC: Final = re.compile(r"[+-]?\d(?:[.,]\d+)?[Ee][+-]\d{1,3}|[+-]?\d[.,]\d+[Ee]\d{1,3}", re.ASCII)
# Digits beyond those that a spreadsheet keeps, all of them zero: three by chance are one in a thousand.
_ROUNDED: Final = re.compile(r"\d{15}0{3,}", re.ASCII)
PackedCells = Sequence[str | list[str] | None]
_STORE_AS_TEXT: Final = "store the column as text"


class CellRefused(InvalidValue):
    """The cell has no value that can be taken; `code` is that of the error in the report."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Remark:
    """A code and a sentence on a cell, for the report."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `text` is its value as a text, `shown` what its number format makes of it, where that differs.

    `kind` is `text`, `number`, `rounded` (a number of more than 15 digits), `scientific`, `padded` or `formatted`
    (a number with such a number format), `boolean`, `date`, `error` or `formula` (one without a result).
    """

    text: str
    kind: str = "text"
    address: str = ""
    shown: str = ""

    @classmethod
    def unpack(cls, packed: str | list[str]) -> "Cell":
        """Return a cell of a renderer: a text, or a list of kind, text, address and what is shown."""
        if isinstance(packed, str):
            # In this order: an invisible character before an apostrophe is of the text, not of the escape.
            return cls(invisible_characters.trim(formulas.unescape(packed)))
        kind, text, *rest = packed
        return cls(text, kind, *rest)

    @property
    def is_number(self) -> bool:
        """Whether it is the number of a workbook, whose value is known whatever it looks like."""
        return self.kind in {"number", "rounded", "scientific", "padded", "formatted"}

    def check_value(self) -> None:
        """Raise CellRefused where the workbook has no value of the cell, or one that no text may hold."""
        if "\0" in self.text:
            raise CellRefused("invisible_character", "It holds the character NUL.")
        if self.kind == "error":
            raise CellRefused("error_value", f"Cell {self.address} is the error {self.text}.")
        if self.kind == "formula":
            message = f"Cell {self.address} is a formula without a stored result"
            raise CellRefused("no_result", f"{message}: open the file in a spreadsheet and save it.")

    def figure(self, marks: str) -> tuple[str, str]:
        """Return the digits of a number with a decimal point, and a warning; raises InvalidValue."""
        self.check_value()
        if self.kind in {"boolean", "date"}:
            raise CellRefused("invalid", f"Cell {self.address} is a {self.kind}, no number.")
        return (self.text, "") if self.is_number else figures.normalize(self.text, marks)

    def plain_text(self) -> str:
        """Return the text of a cell that is no figure, identifier or free text, such as a time."""
        self.check_value()
        return self.text

    def words(self, *, is_free_text: bool) -> tuple[str, Remark | None]:
        """Return the text of an identifier, name or free text as the workbook shows it, and a warning.

        Raises CellRefused where the text is unknown, or was a number or date that a spreadsheet has changed.
        """
        self.check_value()
        if self.kind == "rounded":
            message = f"Cell {self.address} is a number of more than 15 digits, of which a workbook keeps only 15"
            raise CellRefused("rounded", f"{message}: {_STORE_AS_TEXT}.")
        if self.kind == "scientific":
            message = f"Cell {self.address} is shown in scientific notation ({self.shown})"
            raise CellRefused("scientific", f"{message}: {_STORE_AS_TEXT}, and write all digits.")
        if self.kind in {"boolean", "date"}:
            if not is_free_text:
                raise CellRefused("not_text", f"Cell {self.address} is a {self.kind}, no text: {_STORE_AS_TEXT}.")
            message = f"Cell {self.address} is a {self.kind}; it is read as {self.text}."
            return self.text, Remark("formatted", message)
        if self.kind == "padded":
            message = f"Cell {self.address} is the number {self.text}; it is read as it is shown: {self.shown}."
            return self.shown, Remark("as_shown", message)
        if self.kind == "formatted":
            message = f"Cell {self.address} has the number format {self.shown}; it is read as {self.text}."
            return self.text, Remark("formatted", message)
        return self.plain_text(), None


def suspicion_of(text: str, *, is_identifier: bool) -> Remark | None:
    """Return why a text is hardly what its author meant, None where nothing speaks against it."""
    if _ERROR_VALUE.fullmatch(text):
        return Remark("error_value", f"{text} is the error of a spreadsheet, no value.")
    if not is_identifier:
        return None
    for line in text.splitlines():
        if _SCIENTIFIC.fullmatch(line.strip()):
            message = f"{line.strip()} is a number that a spreadsheet has shortened"
            return Remark("scientific", f"{message}: {_STORE_AS_TEXT}, and write all digits.")
    if found := invisible_characters.find(text):
        return Remark("invisible_character", f"It holds the invisible character U+{ord(found):04X}.")
    return None


def rounding_of(text: str) -> Remark | None:
    """Return a warning on an identifier whose last digits a spreadsheet seems to have made zeros."""
    if not _ROUNDED.fullmatch(text):
        return None
    message = f"{text} ends as a number that a spreadsheet has rounded to 15 digits"
    return Remark("rounded", f"{message}; compare it with its origin.")
