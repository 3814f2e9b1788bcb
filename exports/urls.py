"""Routes of exports, documents and imports below `/api/`; included before those of single shipments."""

from django.urls import path

from exports.background import download_views
from exports.background import views as background
from exports.documents import views as documents
from exports.file_imports import views as file_imports
from exports.reports import views as reports
from shipments.parsing import path_converters as path_converters  # registers them

urlpatterns = [
    *(
        path(f"exports/{name}.<slug:extension>", view.as_view(), name=f"export-{name}")
        for name, view in reports.report_views().items()
    ),
    path("exports", background.ExportListView.as_view(), name="exports"),
    path("exports/<id:export_id>", background.ExportDetailView.as_view(), name="export"),
    path("exports/<id:export_id>/file", download_views.ExportFileView.as_view(), name="export-file"),
    path("imports", file_imports.ImportListView.as_view(), name="imports"),
    path("imports/shipments", file_imports.ShipmentImportView.as_view(), name="import-shipments"),
    path("imports/<id:import_id>", file_imports.ImportDetailView.as_view(), name="import"),
    path("shipments/export/<slug:extension>", reports.legacy_view().as_view(), name="export-shipments-older-path"),
    path(
        "shipments/<str:reference>/documents/<slug:kind>.pdf",
        documents.DocumentView.as_view(),
        name="shipment-document",
    ),
]
