"""The result of one scenario: a line of figures, and every promise that did not hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

COLUMNS: Final = ("row", "ok", "failed", "unknown", "LOST", "DUP", "GAP", "late p99", "max", "5xx", "")


@dataclass(slots=True)
class Evidence:
    """One row of the fault table.

    `late_p99`, `late_max`: seconds from COMMIT to receipt. `figures`: what is particular to the row.
    """

    row: str
    ok: int = 0
    failed: int = 0
    unknown: int = 0
    lost: int = 0
    duplicated: int = 0
    gaps: int = 0
    deliveries: int = 0
    late_p99: float = 0.0
    late_max: float = 0.0
    server_errors: int = 0
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not (self.broken or self.lost or self.duplicated or self.gaps)

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "delivery", "holds": self.holds} | asdict(self)

    def cells(self) -> list[str]:
        """Return the row's cells, in the order of COLUMNS."""
        counts = (self.ok, self.failed, self.unknown, self.lost, self.duplicated, self.gaps)
        latency_cells = (f"{self.late_p99:.2f} s", f"{self.late_max:.2f} s")
        return [
            self.row,
            *map(str, counts),
            *latency_cells,
            str(self.server_errors),
            "holds" if self.holds else "BROKEN",
        ]

    def __str__(self) -> str:
        lines = [" ".join(f"{name}={value}" for name, value in zip(COLUMNS, self.cells(), strict=True))]
        lines += [f"  {name}: {value}" for name, value in self.figures.items()]
        return "\n".join([*lines, *(f"  BROKEN: {sentence}" for sentence in self.broken[:20])])


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part (0…1) of the values lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
