"""The routes of exports and imports below `/api/`; they stand before those of single shipments."""

from django.urls import path

from exports.background import download_views
from exports.background import views as views_orders
from exports.documents import views as documents_views
from exports.file_imports import views as imports
from exports.reports import views

urlpatterns = [
    *(
        path(f"exports/{name}.<slug:extension>", view.as_view(), name=f"export-{name}")
        for name, view in views.report_views().items()
    ),
    path("exports", views_orders.ExportListView.as_view(), name="exports"),
    path("exports/<uuid:export_id>", views_orders.ExportDetailView.as_view(), name="export"),
    path("exports/<uuid:export_id>/file", download_views.ExportFileView.as_view(), name="export-file"),
    path("imports", imports.ImportListView.as_view(), name="imports"),
    path("imports/shipments", imports.ShipmentImportView.as_view(), name="import-shipments"),
    path("imports/<uuid:import_id>", imports.ImportDetailView.as_view(), name="import"),
    path("shipments/export/<slug:extension>", views.legacy_view().as_view(), name="export-shipments-older-path"),
    path(
        "shipments/<str:reference>/documents/<slug:kind>.pdf",
        documents_views.DocumentView.as_view(),
        name="shipment-document",
    ),
]
