"""The routes below `/api/metrics`."""

from django.urls import path

from monitoring import views

urlpatterns = [path("", views.MetricsView.as_view(), name="metrics")]
