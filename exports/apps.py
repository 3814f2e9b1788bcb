"""The Django app of exports and imports."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """Reports, documents and file imports."""

    name = "exports"

    def ready(self) -> None:
        """Register the formats and their metrics: the report definitions need loaded models."""
        from exports import metrics
        from exports.reports import format_registry
        from exports.reports.formats import csv, json, pdf, xlsx

        format_registry.register(csv.CSV, xlsx.XLSX, json.JSON, json.NDJSON, pdf.PDF)
        metrics.declare(format_registry.names())
