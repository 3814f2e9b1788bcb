"""A table as a printed report: title, filters, summary, chart of states, rows under a repeated header, page x of y.

Up to 200 rows are drawn by WeasyPrint, more by typst, which draws the same page at a tenth of the cost
(docs/decisions/0020). Above 2,000 rows the report is drawn in parts, one after another: memory stays bounded.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from exports.pdf import chart
from exports.sandbox.pool import RendererPool, Task, TaskResult

# Above the first typst draws the report, above the second in parts.
MAX_WEASYPRINT_ROWS: Final = 200
MAX_PART_ROWS: Final = 2_000
# Of a whole report: 20,000 rows are 500 pages.
MAX_ROWS: Final = 20_000
_LONG_WORD: Final = re.compile(r"[^\s\u200b]{17,}")
_MOVING: Final = frozenset(
    {
        "at_pickup", "in_transit", "at_facility", "out_for_delivery", "at_delivery", "delivery_attempted",
        "available_for_pickup", "partially_delivered", "returning",
    }
)  # fmt: skip
_NOT_YET_MOVING: Final = frozenset({"draft", "booked", "dispatched"})


@dataclass(frozen=True, slots=True)
class PrintedColumn:
    """One column: its label, its width relative to the others, and whether it holds numbers."""

    label: str
    width: float = 1.0
    is_number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedReport:
    """The content of a printed report. `rows` are texts in the order of `columns`; `facts` go below the title."""

    title: str
    organisation: str
    made_at: datetime
    facts: Sequence[tuple[str, str]]
    columns: Sequence[PrintedColumn]
    rows: Sequence[Sequence[str]]
    # The organisation's id: it has a share of the renderers at most.
    tenant: str = ""
    # The states of the rows (`in_transit`), for summary and chart; empty where rows have no state.
    states: Sequence[str] = ()


def render(report: PrintedReport, *, pool: RendererPool) -> TaskResult:
    """Return the report as PDF; raises PoolBusy, TaskFailed."""

    def run(task: Task) -> TaskResult:
        return pool.run(replace(task, tenant=report.tenant))

    shared_context = _shared_context(report)
    if len(report.rows) <= MAX_WEASYPRINT_ROWS:
        context = shared_context | {"factRows": _in_pairs(shared_context["facts"]), "rows": report.rows}
        return run(Task("page", {"template": "report.html", "context": context, "pictures": []}))
    rows = [[_breakable(cell) for cell in row] for row in report.rows]
    if len(rows) <= MAX_PART_ROWS:
        return run(_typst_part(shared_context, rows, first=0, numbered=True, has_next=False))
    parts, rows_done = [], 0
    while rows_done < len(rows):
        has_next = rows_done + MAX_PART_ROWS < len(rows)
        part = run(
            _typst_part(
                shared_context,
                rows[rows_done : rows_done + MAX_PART_ROWS],
                first=rows_done,
                numbered=False,
                has_next=has_next,
            )
        )
        parts.append(part.content)
        rows_done += int(part.metadata["rows"])
    metadata = {"title": report.title, "organisation": report.organisation}
    return run(Task("join", metadata, parts))


def _typst_part(
    shared_context: Mapping[str, Any], rows: list[list[str]], *, first: int, numbered: bool, has_next: bool
) -> Task:
    context = dict(shared_context) | {"rows": rows, "first": first, "numbered": numbered}
    return Task("typeset", {"context": context, "goesOn": has_next})


def _shared_context(report: PrintedReport) -> dict[str, Any]:
    """Return the template context that both engines share: everything but the rows."""
    counts = Counter(report.states)
    state_chart = chart.state_chart(counts)
    total = sum(column.width for column in report.columns)
    return {
        "title": report.title,
        "organisation": report.organisation,
        "foot": f"As of {format_instant(report.made_at)}",
        "facts": [list(fact) for fact in report.facts],
        "tiles": _tiles(len(report.rows), counts),
        "bars": state_chart.bars,
        "chart": state_chart.svg,
        "chartText": state_chart.text,
        "legend": state_chart.legend,
        "columns": [
            (column.label, round(100 * column.width / total, 3), column.is_number) for column in report.columns
        ],
        "empty": "Nothing matches these filters.",
    }


def _tiles(rows: int, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    moving = sum(counts.get(state, 0) for state in _MOVING)
    not_yet_moving = sum(counts.get(state, 0) for state in _NOT_YET_MOVING)
    delivered = counts.get("delivered", 0)
    numbers = {
        "Rows": rows,
        "Not yet moving": not_yet_moving,
        "On the way": moving,
        "Delivered": delivered,
        "Ended otherwise": sum(counts.values()) - moving - not_yet_moving - delivered,
    }
    return [(name, f"{number:,}") for name, number in numbers.items() if counts or name == "Rows"]


def _in_pairs(facts: Sequence[Sequence[str]]) -> list[tuple[Sequence[str], Sequence[str]]]:
    padded = [*facts, ("", "")] if len(facts) % 2 else list(facts)
    return list(zip(padded[::2], padded[1::2], strict=True))


def _breakable(text: str) -> str:
    """Insert zero-width spaces into long words: typst has no `overflow-wrap: anywhere`."""
    return _LONG_WORD.sub(lambda word: "\u200b".join(re.findall(".{1,6}", word[0])), text)


def format_instant(at: datetime) -> str:
    """Return a time as documents print it: UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
