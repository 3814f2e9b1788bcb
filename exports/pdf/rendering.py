"""Draw reports and documents in the renderer pool; failures become problem responses of the API."""

from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

from exports import concurrency_limit
from exports.pdf import libraries, report_layout
from exports.sandbox import pool
from exports.sandbox.pool import Task


class PDFUnavailable(APIException):
    """This installation cannot draw PDFs, or this document failed: 503."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "pdf_unavailable"
    default_detail = "The document could not be drawn."


def require_libraries() -> None:
    """Raise PDFUnavailable where the system libraries are missing."""
    if not libraries.present():
        raise PDFUnavailable(
            f"PDFs are drawn with pango, which is not installed here. On Debian or Ubuntu: {libraries.REMEDY};"
            " then restart Freight."
        )


def render_report(printed_report: report_layout.PrintedReport) -> bytes:
    """Return a report as PDF; raises ServerBusy, PDFUnavailable. Takes seconds: hold no database connection."""
    try:
        return report_layout.render(printed_report, pool=pool.shared()).content
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy from None
    except pool.TaskFailed as error:
        raise _unavailable(error) from error


def render_document(
    template: str, context: Mapping[str, Any], pictures: Mapping[str, bytes], *, tenant: object
) -> bytes:
    """Return a template as PDF; `pictures` are its assets by name, `tenant` the organisation.

    Raises ServerBusy, PDFUnavailable.
    """
    parameters = {"template": template, "context": context, "pictures": list(pictures)}
    try:
        return pool.shared().run(Task("page", parameters, list(pictures.values()), tenant=str(tenant))).content
    except pool.PoolBusy:
        raise concurrency_limit.ServerBusy from None
    except pool.TaskFailed as error:
        raise _unavailable(error) from error


def _unavailable(error: pool.TaskFailed) -> PDFUnavailable:
    if error.kind == "TooLong":
        return PDFUnavailable("The document took too long to draw and was given up.")
    return PDFUnavailable()
