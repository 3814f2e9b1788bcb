"""Door to the renderers for the rest of the room: what cannot be drawn is an answer, not an accident."""

from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

from exports import concurrency_limit
from exports.pdf import libraries
from exports.pdf import report_layout as reports
from exports.sandbox import pool
from exports.sandbox.pool import Task


class PDFUnavailable(APIException):
    """This installation, or just this document, cannot be drawn."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "cannot_draw"
    default_detail = "The document could not be drawn."


def require_libraries() -> None:
    """Raise CannotDraw where the libraries are missing."""
    if not libraries.present():
        raise PDFUnavailable(
            f"PDFs are drawn with pango, which is not installed here. On Debian or Ubuntu: {libraries.REMEDY};"
            " then restart Freight."
        )


def render_report(printed_report: reports.PrintedReport) -> bytes:
    """Return a report as PDF; raises Busy or CannotDraw."""
    try:
        return reports.render(printed_report, pool=pool.shared()).content
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy from None
    except pool.TaskFailed as error:
        raise _unavailable(error) from error


def render_document(template: str, context: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """Return a document as PDF; raises Busy or CannotDraw."""
    parameters = {"template": template, "context": context, "pictures": list(pictures)}
    try:
        return pool.shared().run(Task("page", parameters, list(pictures.values()))).content
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy from None
    except pool.TaskFailed as error:
        raise _unavailable(error) from error


def _unavailable(error: pool.TaskFailed) -> PDFUnavailable:
    if error.kind == "TooLong":
        return PDFUnavailable("The document took too long to draw and was given up.")
    return PDFUnavailable()
