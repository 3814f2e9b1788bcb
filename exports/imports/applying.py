"""From rows of a file to what became of them: the same for a dry run, a worker and the command."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

from exports.imports import columns
from exports.imports.columns import Columns
from shipments import intake
from shipments.access import Subject
from shipments.intake import Judged, Wanted
from shipments.selectors.parameters import field_error

# Rows that are applied together: their locks are held for a moment only.
CHUNK: Final = 100
# Nothing is held while rows are only judged.
DRY_CHUNK: Final = 500
OUTCOMES: Final = ("created", "updated", "unchanged", "failed")
Rows = Iterable[tuple[int, list[str | None]]]


@dataclass(slots=True)
class Wishes:
    """The rows of a file as they are wanted, in chunks; of those with one reference only the first counts."""

    found: Columns
    decimal_comma: bool
    _seen: dict[str, int] = field(default_factory=dict)

    def chunks(self, rows: Rows, size: int, *, skip: int = 0) -> Iterator[list[Wanted]]:
        """This will yield chunks of the rows behind the first `skip`, which are only looked at for references."""
        wanted = (self._read(number, cells) for number, cells in rows)
        for _ in islice(wanted, skip):
            pass
        while chunk := list(islice(wanted, size)):
            yield chunk

    def _read(self, number: int, cells: Sequence[str | None]) -> Wanted:
        wanted = columns.wanted(number, cells, self.found, decimal_comma=self.decimal_comma)
        if not wanted.reference:
            return wanted
        first = self._seen.setdefault(wanted.reference.upper(), number)
        if first == number:
            return wanted
        twice = field_error("reference", "repeated", f"The reference stands in row {first:,} already.")
        return replace(wanted, errors=[*wanted.errors, twice])


def judge(*, by: Subject, now: datetime, chunk: Sequence[Wanted]) -> list[Judged]:
    """This will say what would become of the rows; nothing is written."""
    return intake.import_rows(by=by, now=now, rows=chunk, dry_run=True)


def apply(*, by: Subject, now: datetime, chunk: Sequence[Wanted]) -> list[Judged]:
    """This will book and amend what the rows ask for, in one transaction; raises OutcomeUnknown."""
    return intake.committed(lambda: intake.import_rows(by=by, now=now, rows=chunk, dry_run=False))


def shown(judged: Judged, found: Columns) -> dict[str, Any]:
    """This will return the entry of a row in the report, in the words of the file's header."""
    return {
        "row": judged.row,
        "reference": judged.reference,
        "outcome": judged.outcome,
        "changed": [found.header.get(name, name) for name in judged.changed],
        "errors": found.errors(judged.errors),
        "warnings": found.errors(judged.warnings),
    }


def counted(judged: Iterable[Judged]) -> dict[str, int]:
    """This will count the outcomes."""
    counts = dict.fromkeys(OUTCOMES, 0)
    for each in judged:
        counts[each.outcome] += 1
    return counts
