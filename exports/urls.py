"""The routes of exports and imports below `/api/`; they stand before those of single shipments."""

from django.urls import path

from exports import documents_views, views, views_file, views_orders
from exports.imports import views as imports

urlpatterns = [
    *(
        path(f"exports/{name}.<slug:extension>", view.as_view(), name=f"export-{name}")
        for name, view in views.views().items()
    ),
    path("exports", views_orders.OrdersView.as_view(), name="exports"),
    path("exports/<uuid:export_id>", views_orders.OrderView.as_view(), name="export"),
    path("exports/<uuid:export_id>/file", views_file.FileView.as_view(), name="export-file"),
    path("imports", imports.ImportsView.as_view(), name="imports"),
    path("imports/shipments", imports.ShipmentsView.as_view(), name="import-shipments"),
    path("imports/<uuid:import_id>", imports.ImportView.as_view(), name="import"),
    path("shipments/export/<slug:extension>", views.older().as_view(), name="export-shipments-older-path"),
    path(
        "shipments/<str:reference>/documents/<slug:kind>.pdf",
        documents_views.DocumentView.as_view(),
        name="shipment-document",
    ),
]
