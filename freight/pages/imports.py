"""The imports page: dry-run a file, review the result of each row, import it, and follow its progress."""

import csv
import io

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from exports.file_imports import columns, import_jobs
from exports.reports.definitions import SHIPMENTS
from freight.pages import navigation
from shipments.auth.subjects import Subject


@require_GET
@never_cache
@login_required
def imports_page(request: HttpRequest) -> HttpResponse:
    """Render the page with the viewer's latest imports; its script does the rest through the API."""
    viewer = _require_importer(request)
    context = {
        "known": [import_jobs.serialize(each) for each in import_jobs.list_own(viewer)],
        "most_mib": settings.IMPORT_MAX_BYTES >> 20,
        "most_rows": f"{settings.IMPORT_MAX_ROWS:,}",
        "kept_days": settings.IMPORT_KEEP // 86_400,
    }
    return render(request, "imports/imports.html", context | navigation.context_for(viewer, "imports-page"))


@require_GET
@login_required
def import_template(request: HttpRequest) -> HttpResponse:
    """Return a CSV template: the columns that an import reads, and one example row."""
    _require_importer(request)
    example = {
        "reference": "MY-0001", "origin": "NLRTM", "destination": "Hamburg (DEHAM)", "status": "booked",
        "pieces": "12", "weightKg": "840.5", "plannedPickupAt": "2026-03-02T08:00:00Z",
        "plannedDeliveryAt": "2026-03-04T16:00:00Z", "po": "4500012345",
    }  # fmt: skip
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(SHIPMENTS.columns[name].label for name in columns.TEMPLATE_FIELDS)
    writer.writerow(example.get(name, "") for name in columns.TEMPLATE_FIELDS)
    return HttpResponse(
        "\ufeff" + target.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="shipments-template.csv"'},
    )


def _require_importer(request: HttpRequest) -> Subject:
    viewer = navigation.viewer_of(request)
    if not viewer.has_permission("shipments:write"):
        raise PermissionDenied("Only dispatchers and administrators import shipments.")
    return viewer
