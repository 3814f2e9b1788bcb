"""The routes of exports below `/api/`; they stand before those of single shipments."""

from django.urls import path

from exports import views

urlpatterns = [
    path("exports/shipments.csv", views.ShipmentsCsvView.as_view(), name="export-shipments-csv"),
    path("shipments/export/csv", views.ShipmentsCsvOldPathView.as_view(), name="export-shipments-csv-old-path"),
]
