"""The exports page: a form that orders a report, the progress of each export, and the finished files."""

from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from exports.background import export_jobs, views
from exports.reports import format_registry
from exports.reports.definitions import REPORTS, Report
from exports.reports.report_query import parameter_label
from freight.pages import navigation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle
from shipments.parsing.query_parameters import DATE_TIME_SCHEMA, UUID_SCHEMA, Parameter

# Shown beside the name of a format.
_PURPOSES: Final = {
    "csv": "any program",
    "xlsx": "spreadsheets",
    "json": "one array",
    "ndjson": "one object a line",
    "pdf": "to print",
}
_LABELS: Final = {
    "q": "Search", "driverId": "Driver ID", "customerId": "Customer ID", "entityId": "Entity ID", "from": "From",
    "to": "Before", "shipment": "Shipment", "actor": "User ID", "reference.po": "PO",
}  # fmt: skip
_HINTS: Final = {"origin": "NLRTM", "destination": "DEHAM", "q": "reference, customer or place"}


@require_GET
@never_cache
@login_required
def exports_page(request: HttpRequest) -> HttpResponse:
    """Render the form and the viewer's exports; the script follows their progress."""
    viewer = navigation.viewer_of(request)
    if not viewer.has_permission("exports:read"):
        raise PermissionDenied("This account takes no exports.")
    reports = [
        _report_form(report, viewer)
        for report in REPORTS.values()
        if all(map(viewer.has_permission, report.permissions))
    ]
    format_choices = [{"name": name, "purpose": _PURPOSES.get(name, "")} for name in format_registry.names()]
    document = {"exports": [views.serialize_export(export) for export in export_jobs.list_own(viewer)]}
    return render(
        request,
        "exports/exports.html",
        navigation.context_for(viewer, "exports-page")
        | {"reports": reports, "formats": format_choices, "document": document},
    )


def _report_form(report: Report, viewer: Subject) -> dict[str, Any]:
    columns = [
        {"name": name, "label": column.label, "chosen": column.default} for name, column in report.columns.items()
    ]
    return {
        "name": report.name,
        "title": report.title,
        "columns": columns,
        "chosen": sum(column["chosen"] is True for column in columns),
        "filters": [_filter_field(name, parameter) for name, parameter in report.filters(viewer).items()],
        "orders": [(order, _ordering_label(order)) for order in report.orderings],
    }


def _filter_field(name: str, parameter: Parameter) -> dict[str, Any]:
    """Return a filter's form field: `kind` is `choice`, `time` or `text`."""
    kind = "time" if parameter.schema == DATE_TIME_SCHEMA else "text"
    options = list(parameter.schema.get("enum", ()))
    if name == "status" and not options:
        options = list(lifecycle.STATES)
    return {
        "name": name,
        "label": _LABELS.get(name, parameter_label(name)),
        "kind": "choice" if options else kind,
        "options": [(option, option.replace("_", " ").capitalize()) for option in options],
        "hint": "a UUID" if parameter.schema == UUID_SCHEMA else _HINTS.get(name, ""),
        "about": parameter.description,
    }


def _ordering_label(order: str) -> str:
    return f"{parameter_label(order.lstrip('-'))}, {'newest first' if order.startswith('-') else 'ascending'}"
