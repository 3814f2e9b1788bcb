"""The exports application."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """The exports room."""

    name = "exports"

    def ready(self) -> None:
        """Make the formats known: here, where the models that reports read are loaded."""
        from exports import metrics
        from exports.reports import format_registry
        from exports.reports.formats import csv, json, pdf, xlsx

        format_registry.register(csv.CSV, xlsx.XLSX, json.JSON, json.NDJSON, pdf.PDF)
        metrics.declare(format_registry.names())
