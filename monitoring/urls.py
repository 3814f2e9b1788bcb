"""The routes of metrics and detailed health below `/api/`."""

from django.urls import path

from monitoring import views
from monitoring.reports import response_schemas

urlpatterns = [
    path("metrics", views.MetricsView.as_view(), name="metrics"),
    *(
        path(f"metrics/{name}", views.report_view(name).as_view(), name=f"metrics-{name}")
        for name in response_schemas.REPORT_RESPONSES
    ),
    path("metrics/health", views.BriefHealthView.as_view(), name="metrics-health"),
    path("health/detailed", views.DetailedHealthView.as_view(), name="health-detailed"),
]
