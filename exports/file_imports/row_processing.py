"""From rows of a file to what became of them: the same for a dry run, a worker and the command."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from exports.file_imports import columns
from exports.file_imports.columns import ColumnMap
from shipments import intake
from shipments.auth.subjects import Subject
from shipments.intake import ImportRow, RowResult
from shipments.parsing.query_parameters import field_error

# Rows that are applied together: their locks are held for a moment only.
CHUNK_ROWS: Final = 100
# Nothing is held while rows are only judged.
DRY_RUN_CHUNK_ROWS: Final = 500
OUTCOMES: Final = ("created", "updated", "unchanged", "failed")
Rows = Iterable[tuple[int, list[str | None]]]


@dataclass(slots=True)
class ChunkReader:
    """The rows of a file as they are wanted, in chunks; of those with one reference only the first counts."""

    column_map: ColumnMap
    decimal_comma: bool
    _first_row_by_reference: dict[str, int] = field(default_factory=dict)

    def chunks(self, rows: Rows, size: int, *, skip: int = 0) -> Iterator[list[ImportRow]]:
        """Yield chunks of the rows behind the first `skip`, which are only looked at for references."""
        import_rows = (self._parse_row(number, cells) for number, cells in rows)
        for _ in islice(import_rows, skip):
            pass
        while chunk := list(islice(import_rows, size)):
            yield chunk

    def _parse_row(self, number: int, cells: Sequence[str | None]) -> ImportRow:
        row = columns.parse_row(number, cells, self.column_map, decimal_comma=self.decimal_comma)
        if not row.reference:
            return row
        first_number = self._first_row_by_reference.setdefault(row.reference.upper(), number)
        if first_number == number:
            return row
        repeated_error = field_error(
            "reference", "repeated", f"The reference stands in row {first_number:,} already."
        )
        return replace(row, errors=[*row.errors, repeated_error])


def dry_run_chunk(*, by: Subject, now: datetime, chunk: Sequence[ImportRow]) -> list[RowResult]:
    """Say what would become of the rows; nothing is written."""
    return intake.import_rows(by=by, now=now, rows=chunk, dry_run=True)


def apply_chunk(*, by: Subject, now: datetime, chunk: Sequence[ImportRow]) -> list[RowResult]:
    """Book and amend what the rows ask for, in one transaction; raises OutcomeUnknown."""
    return intake.run_in_transaction(lambda: intake.import_rows(by=by, now=now, rows=chunk, dry_run=False))


def serialize_result(result: RowResult, column_map: ColumnMap) -> dict[str, Any]:
    """Return the entry of a row in the report, in the words of the file's header."""
    return {
        "row": result.row,
        "reference": result.reference,
        "outcome": result.outcome,
        "changed": [column_map.header.get(name, name) for name in result.changed],
        "errors": column_map.errors(result.errors),
        "warnings": column_map.errors(result.warnings),
    }


def count_outcomes(results: Iterable[RowResult]) -> dict[str, int]:
    """Count the outcomes."""
    counts = dict.fromkeys(OUTCOMES, 0)
    for each in results:
        counts[each.outcome] += 1
    return counts
