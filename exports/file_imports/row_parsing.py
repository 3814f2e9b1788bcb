"""From the cells of a row to an ImportRow: its values, and what speaks against them."""

from typing import Any, Final

from exports.file_imports import cells, figures
from exports.file_imports.cells import Cell, PackedCells
from exports.file_imports.columns import (
    AMOUNTS,
    CELL_PARSERS,
    IDENTIFIERS,
    OTHER_REFERENCES,
    TEXTS,
    CellParser,
    ColumnMap,
)
from shipments.intake import ImportRow
from shipments.parsing.query_parameters import FieldError, field_error
from shipments.parsing.values import InvalidValue

_MAX_REFERENCE: Final = 200
# Error values of a spreadsheet are no names, and nobody's notes.
_SUSPECTED: Final = IDENTIFIERS | {"customer", "driverName", "notes"}


def parse_row(number: int, packed: PackedCells, column_map: ColumnMap, *, decimal_marks: str) -> ImportRow:
    """Parse one row. An empty cell is no value: the field stays as it is."""
    row = _Row(decimal_marks)
    for position, each in enumerate(packed):
        cell = None if each is None else Cell.unpack(each)
        if cell is None or (cell.kind == "text" and not cell.text):
            continue
        name = column_map.fields[position] if position < len(column_map.fields) else None
        if name is None:
            message = f"A cell is outside the columns: {cell.text[:40]!r}."
            row.errors.append(field_error("", "outside", message))
        elif parser := CELL_PARSERS[name]:
            row.add(name, cell, parser)
    reference = row.values.pop("reference", "")
    if not reference and "reference" not in {each["field"] for each in row.errors}:
        row.errors.append(field_error("reference", "required", "Every row needs a reference."))
    return ImportRow(number, reference[:_MAX_REFERENCE], row.values, row.errors, row.warnings, row.suspicions)


class _Row:
    """The values and problems of a row while its cells are parsed."""

    def __init__(self, decimal_marks: str) -> None:
        self.values: dict[str, Any] = {}
        self.errors: list[FieldError] = []
        self.warnings: list[FieldError] = []
        self.suspicions: list[FieldError] = []
        self._decimal_marks = decimal_marks

    def add(self, name: str, cell: Cell, parser: CellParser) -> None:
        """Parse the cell of a field into its value, or into an error."""
        try:
            value = parser(self._text(name, cell))
        except InvalidValue as error:
            self.errors.append(field_error(name, getattr(error, "code", "invalid"), str(error)))
            return
        if name in OTHER_REFERENCES:
            self.values.setdefault("references", {})[name] = value
        else:
            self.values[name] = value

    def _text(self, name: str, cell: Cell) -> str:
        """Return the text to parse, and keep warnings and suspicions; raises InvalidValue."""
        if name in AMOUNTS:
            # Nobody writes decimals of a count: 1.000 pieces are a thousand, or the one of a program.
            marks = figures.UNKNOWN_MARKS if name == "pieces" else self._decimal_marks
            text, warning = cell.figure(marks)
            if warning:
                self.warnings.append(field_error(name, "ambiguous", warning))
            return text
        if name not in TEXTS:
            return cell.plain_text()
        text, remark = cell.words(is_free_text=name == "notes")
        if name in IDENTIFIERS:
            remark = remark or cells.rounding_of(text)
        if remark:
            self.warnings.append(field_error(name, remark.code, remark.message))
        if name in _SUSPECTED and (suspicion := cells.suspicion_of(text, is_identifier=name in IDENTIFIERS)):
            self.suspicions.append(field_error(name, suspicion.code, suspicion.message))
        return text
