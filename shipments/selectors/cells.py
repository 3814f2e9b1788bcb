"""The cells of reports, as SQL: what is shown is made by the database, so that its blocks need no further hand."""

from typing import Any, Final

from django.db.models import Func, TextField

# A spreadsheet takes such a text for a formula, whatever blank stands before it; also in their wide forms.
_FORMULA: Final = (
    r"^[ \v\f\u0085\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]*"
    r"[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]"
)


class Cell(Func):
    """A cell made of columns, which stand in the template as `{0}`, `{1}` …"""

    output_field = TextField()

    def __init__(self, template: str, *columns: str) -> None:
        super().__init__(*columns)
        self.cell = template

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, tuple[str | int, ...]]:
        """This will lay the columns into the template; columns have no parameters."""
        return self.cell.format(*(compiler.compile(each)[0] for each in self.get_source_expressions())), ()


def plain(column: str) -> Cell:
    """This will return a cell for numbers, ids and words of the product's own."""
    return Cell("{0}", column)


def amount(column: str) -> Cell:
    """This will return a cell for a decimal, without zeros at its end."""
    return Cell("trim_scale({0})", column)


def text(column: str) -> Cell:
    """This will return a cell for what people wrote: an apostrophe keeps spreadsheets from reckoning with it."""
    return Cell(f"CASE WHEN {{0}} ~ '{_FORMULA}' THEN '''' || {{0}} ELSE {{0}} END", column)


def place(name: str) -> Cell:
    """This will return a cell for a place: its name, then its UN/LOCODE or else its country."""
    shown = "{0} || ' (' || coalesce({1}, {2}) || ')'"
    return Cell(
        f"CASE WHEN {{0}} ~ '{_FORMULA}' THEN '''' || {shown} ELSE {shown} END",
        f"{name}__name", f"{name}__locode", f"{name}__country",
    )  # fmt: skip


def instant(column: str) -> Cell:
    """This will return a cell for a time: RFC 3339 in UTC, to the millisecond where it has a fraction."""
    pattern = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
    return Cell(f"replace(to_char({{0}} AT TIME ZONE 'UTC', '{pattern}'), '.000Z', 'Z')", column)


def hidden() -> Cell:
    """This will return the cell of what the viewer may not see: nothing."""
    return Cell("NULL::text")
