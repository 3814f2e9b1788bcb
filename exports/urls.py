"""The routes of exports below `/api/`; they stand before those of single shipments."""

from django.urls import path

from exports import documents_views, views

urlpatterns = [
    *(
        path(f"exports/{name}.<slug:extension>", view.as_view(), name=f"export-{name}")
        for name, view in views.views().items()
    ),
    path("shipments/export/<slug:extension>", views.older().as_view(), name="export-shipments-older-path"),
    path(
        "shipments/<str:reference>/documents/<slug:kind>.pdf",
        documents_views.DocumentView.as_view(),
        name="shipment-document",
    ),
]
