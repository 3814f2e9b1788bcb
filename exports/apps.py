"""The exports application."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """The exports room."""

    name = "exports"

    def ready(self) -> None:
        """This will make the formats known: here, where the models that reports read are loaded."""
        from exports import csv, formats, json, metrics, xlsx
        from exports.pdf import format as pdf

        formats.register(csv.CSV, xlsx.XLSX, json.JSON, json.NDJSON, pdf.PDF)
        metrics.declare(formats.names())
