"""From the rows of a file to their results: shared by dry runs, workers and the command."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from exports.file_imports import row_parsing
from exports.file_imports.cells import PackedCells
from exports.file_imports.columns import ColumnMap
from shipments import intake
from shipments.auth.subjects import Subject
from shipments.intake import ImportRow, RowResult
from shipments.parsing.query_parameters import field_error

# Applied in one transaction: small, so that row locks are held briefly.
CHUNK_ROWS: Final = 100
# A dry run holds no locks.
DRY_RUN_CHUNK_ROWS: Final = 500
OUTCOMES: Final = ("created", "updated", "unchanged", "failed")
# Of an import; a row with warnings has an outcome, too.
COUNTERS: Final = (*OUTCOMES, "warned")
Rows = Iterable[tuple[int, PackedCells]]


@dataclass(slots=True)
class ChunkReader:
    """Parses the rows of one file in chunks. Of rows with the same reference all but the first get an error."""

    column_map: ColumnMap
    decimal_marks: str
    _first_row_by_reference: dict[str, int] = field(default_factory=dict)

    def chunks(self, rows: Rows, size: int, *, skip: int = 0) -> Iterator[list[ImportRow]]:
        """Yield chunks of `size` rows. The first `skip` rows are only parsed, for their references."""
        import_rows = (self._parse_row(number, cells) for number, cells in rows)
        for _ in islice(import_rows, skip):
            pass
        while chunk := list(islice(import_rows, size)):
            yield chunk

    def _parse_row(self, number: int, cells: PackedCells) -> ImportRow:
        row = row_parsing.parse_row(number, cells, self.column_map, decimal_marks=self.decimal_marks)
        if not row.reference:
            return row
        first_number = self._first_row_by_reference.setdefault(row.reference.upper(), number)
        if first_number == number:
            return row
        repeated_error = field_error("reference", "repeated", f"Row {first_number:,} has the same reference.")
        return replace(row, errors=[*row.errors, repeated_error])


def dry_run_chunk(*, by: Subject, now: datetime, chunk: Sequence[ImportRow]) -> list[RowResult]:
    """Return what an import would do to each row; nothing is written."""
    return intake.import_rows(by=by, now=now, rows=chunk, dry_run=True)


def apply_chunk(*, by: Subject, now: datetime, chunk: Sequence[ImportRow]) -> list[RowResult]:
    """Book and amend the shipments of the rows, in one transaction; raises OutcomeUnknown."""
    return intake.run_in_transaction(lambda: intake.import_rows(by=by, now=now, rows=chunk, dry_run=False))


def serialize_result(result: RowResult, column_map: ColumnMap) -> dict[str, Any]:
    """Return the report's entry on a row, with the file's own column names."""
    return {
        "row": result.row,
        "reference": result.reference,
        "outcome": result.outcome,
        "changed": [column_map.header.get(name, name) for name in result.changed],
        "errors": column_map.errors(result.errors),
        "warnings": column_map.errors(result.warnings),
    }


def count_outcomes(results: Iterable[RowResult]) -> dict[str, int]:
    """Return the number of results by outcome, and of those with warnings as `warned`."""
    counts = dict.fromkeys(COUNTERS, 0)
    for each in results:
        counts[each.outcome] += 1
        counts["warned"] += bool(each.warnings)
    return counts
