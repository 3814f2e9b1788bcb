"""The query of a report: filters, fields, ordering and limit, parsed strictly from query parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.http import QueryDict

from exports.reports.definitions import Report
from shipments.auth.subjects import Subject
from shipments.parsing import query_parameters
from shipments.parsing import values as texts
from shipments.parsing.query_parameters import InvalidFields, Parameter, field_error
from shipments.parsing.values import InvalidValue

MAX_ROWS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """A parsed query of one report by one subject; `raw_values` are the parameters as they were sent."""

    report: Report
    by: Subject
    fields: tuple[str, ...]
    values: Mapping[str, Any]
    raw_values: Mapping[str, str]

    @property
    def labels(self) -> list[str]:
        """The labels above the columns."""
        return [self.report.columns[name].label for name in self.fields]

    @property
    def bom(self) -> bool:
        """Whether a CSV begins with a byte order mark, from which spreadsheet programs recognise UTF-8."""
        return self.values.get("bom") == "1"

    @property
    def filters(self) -> dict[str, str]:
        """The raw filters, without ordering, fields, limit and bom: what a PDF shows above its table."""
        return {name: text for name, text in self.raw_values.items() if name not in _COMMON_NAMES}

    def queryset(self) -> Any:
        """Return the filtered, ordered and limited queryset; a text search (`q`) makes a query of its own."""
        report = self.report
        filtered = query_parameters.apply_filters(
            report.source(self.by), self.values, report_parameters(report, self.by)
        )
        ordering = self.values.get("ordering", next(iter(report.orderings)))
        return filtered.order_by(*report.orderings[ordering])[: self.values.get("limit")]


def report_parameters(report: Report, subject: Subject | None = None) -> dict[str, Parameter]:
    """Return the query parameters of a report; without a subject, those of the OpenAPI schema."""
    filter_parameters = report.filters(subject or _NO_SUBJECT)
    ordering = Parameter(
        texts.choice(report.orderings),
        f"The order; `-` reverses it. Default `{next(iter(report.orderings))}`.",
        query_parameters.enum_schema(tuple(report.orderings)),
    )
    return {**filter_parameters, "ordering": ordering, "fields": _fields(report), **_COMMON_PARAMETERS}


def parse(report: Report, subject: Subject, query: QueryDict) -> ReportQuery:
    """Return the parsed query; raises InvalidFields with all errors."""
    values = query_parameters.parse_parameters(query, report_parameters(report, subject))
    raw_values = {name: str(text) for name, text in query.items()}
    fields = values.pop("fields", report.default_fields)
    return ReportQuery(report=report, by=subject, fields=tuple(fields), values=values, raw_values=raw_values)


def parameter_error(field: str, code: str, message: str) -> InvalidFields:
    """Return the exception for one invalid parameter."""
    return InvalidFields([field_error(field, code, message)])


def parameter_label(name: str) -> str:
    """Return the name of a parameter as words: `createdAfter` is `Created after`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip().capitalize()


def _fields(report: Report) -> Parameter:
    def parse_fields(text: str) -> list[str]:
        names = list(dict.fromkeys(part.strip() for part in text.split(",")))
        unknown = [name for name in names if name not in report.columns]
        if unknown:
            quoted = ", ".join(repr(name[:64]) for name in unknown[:20])
            raise InvalidValue(f"No column is called {quoted}; there are {', '.join(report.columns)}.")
        return names

    return Parameter(
        parse_fields,
        f"The columns and their order, separated by commas, of {', '.join(report.columns)}."
        f" Default: {', '.join(report.default_fields)}.",
    )


_NO_SUBJECT: Any = None
_COMMON_PARAMETERS: Final[Mapping[str, Parameter]] = {
    "limit": Parameter(
        texts.whole_number(1, MAX_ROWS),
        "The maximum number of rows. Default: all.",
        {"type": "integer", "minimum": 1, "maximum": MAX_ROWS},
    ),
    "bom": Parameter(
        texts.choice(("0", "1")),
        "`1` begins a CSV with a byte order mark, from which spreadsheet programs recognise UTF-8.",
        query_parameters.enum_schema(("0", "1")),
    ),
}
_COMMON_NAMES: Final = frozenset({"ordering", "fields", *_COMMON_PARAMETERS})
