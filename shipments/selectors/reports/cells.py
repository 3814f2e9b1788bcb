"""The cells of reports, as SQL expressions: COPY then returns finished text, and Python touches no cell."""

from typing import Any, Final, Self

from django.db.models import Func, TextField

from shipments.domain import visibility
from shipments.selectors.reports import formulas

# What `visibility` leaves out for customers, in SQL; tests/journeys/visibility walks both.
_PUBLIC_FLAGS: Final = (
    "(SELECT coalesce(jsonb_agg(flag || jsonb_build_object('reason', '') ORDER BY place), '[]')"
    " FROM jsonb_array_elements(FLAGS) WITH ORDINALITY AS open(flag, place))"
)
_TEXTS: Final = (
    "(CASE jsonb_typeof({0} -> KEY) WHEN 'array' THEN (SELECT string_agg(item, chr(10) ORDER BY place)"
    " FROM jsonb_array_elements_text({0} -> KEY) WITH ORDINALITY AS each(item, place)) ELSE {0} ->> KEY END)"
)
_PUBLIC_NOTES: Final = ", ".join(f"'{kind}'" for kind in sorted(visibility.PUBLIC_NOTES))


class Cell(Func):
    """A cell made of columns, in the template as `{0}`, `{1}` …; `raw` is the template without formula escaping."""

    output_field = TextField()

    def __init__(self, template: str, *columns: str, raw: str = "") -> None:
        super().__init__(*columns)
        self.cell = template
        self.raw_template = raw or template

    def as_raw(self) -> Self:
        """Return the cell without escaping, for formats that distinguish texts from formulas."""
        return type(self)(self.raw_template, *(each.name for each in self.get_source_expressions()))

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[str | int, ...]]:
        """Return the template with the columns; they have no parameters."""
        return self.cell.format(*(compiler.compile(each)[0] for each in self.get_source_expressions())), ()


class Instant(Cell):
    """A cell with a time."""


def plain(column: str) -> Cell:
    """Return a cell for numbers, ids and the product's own choices, which need no escaping."""
    return Cell("{0}", column)


def amount(column: str) -> Cell:
    """Return a cell for a decimal without trailing zeros."""
    return Cell("trim_scale({0})", column)


def text(column: str, expression: str = "{0}") -> Cell:
    """Return a cell for free text, with an apostrophe before what a spreadsheet would take for a formula."""
    return Cell(formulas.escape_sql(expression), column, raw=expression)


def json_member(column: str, key: str) -> Cell:
    """Return a cell for the text under a constant key of a JSON object, or its several texts in a line each."""
    return text(column, _TEXTS.replace("KEY", f"'{key}'"))


def json_document(column: str) -> Cell:
    """Return a cell for a JSON value: its text in CSV, the value itself in JSON."""
    return Cell(formulas.escape_document_sql("{0}::text"), column, raw="{0}")


def public_note(data: str, kind: str) -> Cell:
    """Return a cell for the note of an event as customers see it: see `visibility.restrict_event`."""
    expression = f"(CASE WHEN {{1}} IN ({_PUBLIC_NOTES}) THEN {{0}} ->> 'note' END)"
    return Cell(formulas.escape_sql(expression), data, kind, raw=expression)


def public_flags(column: str) -> Cell:
    """Return a cell for the open flags as customers see them: see `visibility.restrict_flags`."""
    expression = _PUBLIC_FLAGS.replace("FLAGS", "{0}")
    return Cell(formulas.escape_document_sql(f"{expression}::text"), column, raw=expression)


def public_data(data: str, kind: str, customer: str) -> Cell:
    """Return a cell for the data of an event as customers see it: see `visibility.restrict_event`."""
    # None of them is NULL: jsonb_set would be.
    noted = f"(CASE WHEN {{1}} IN ({_PUBLIC_NOTES}) THEN {{0}} ELSE {{0}} - 'note' END)"
    flags = _PUBLIC_FLAGS.replace("FLAGS", "{0} #> ARRAY['changes', 'flags']")
    flagged = (
        "(CASE WHEN {0} #> ARRAY['changes', 'flags'] IS NULL THEN NOTED"
        f" ELSE jsonb_set(NOTED, ARRAY['changes', 'flags'], {flags}) END)"
    ).replace("NOTED", noted)
    expression = (
        "(CASE WHEN {0} #>> ARRAY['changes', 'customer', 'id'] <> coalesce({2}::text, '')"
        " THEN jsonb_set(FLAGGED, ARRAY['changes', 'customer'], 'null') ELSE FLAGGED END)"
    ).replace("FLAGGED", flagged)
    return Cell(formulas.escape_document_sql(f"{expression}::text"), data, kind, customer, raw=expression)


def place(name: str) -> Cell:
    """Return a cell for a place: its name, then its UN/LOCODE or else its country."""
    expression = "{0} || ' (' || coalesce({1}, {2}) || ')'"
    return Cell(
        formulas.escape_sql(f"({expression})"),
        f"{name}__name",
        f"{name}__locode",
        f"{name}__country",
        raw=expression,
    )


def instant(column: str) -> Instant:
    """Return a cell for a time: RFC 3339 in UTC, to the millisecond where it has a fraction."""
    pattern = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
    return Instant(f"replace(to_char({{0}} AT TIME ZONE 'UTC', '{pattern}'), '.000Z', 'Z')", column)


def minutes_between(earlier: str, later: str) -> Cell:
    """Return a cell for the whole minutes from one time to another, negative where it came before."""
    return Cell("floor(extract(epoch FROM {1} - {0}) / 60)::bigint", earlier, later)


def empty() -> Cell:
    """Return an empty cell, for what the viewer may not see."""
    return Cell("NULL::text")
