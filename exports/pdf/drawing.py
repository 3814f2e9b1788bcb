"""Door to the renderers for the rest of the room: what cannot be drawn is an answer, not an accident."""

from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException

from exports import slots
from exports.pdf import libraries, pool
from exports.pdf import report as reports
from exports.pdf.pool import Task


class CannotDraw(APIException):
    """This installation, or just this document, cannot be drawn."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "cannot_draw"
    default_detail = "The document could not be drawn."


def check() -> None:
    """This will raise CannotDraw where the libraries are missing."""
    if not libraries.present():
        raise CannotDraw(
            f"PDFs are drawn with pango, which is not installed here. On Debian or Ubuntu: {libraries.REMEDY};"
            " then restart Freight."
        )


def report(printed: reports.Report) -> bytes:
    """This will return a report as PDF; raises Busy or CannotDraw."""
    try:
        return reports.render(printed, pool=pool.shared()).made
    except pool.Busy:
        raise slots.Busy from None
    except pool.Failed as error:
        raise _refusal(error) from error


def document(template: str, context: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """This will return a document as PDF; raises Busy or CannotDraw."""
    about = {"template": template, "context": context, "pictures": list(pictures)}
    try:
        return pool.shared().run(Task("page", about, list(pictures.values()))).made
    except pool.Busy:
        raise slots.Busy from None
    except pool.Failed as error:
        raise _refusal(error) from error


def _refusal(error: pool.Failed) -> CannotDraw:
    if error.kind == "TooLong":
        return CannotDraw("The document took too long to draw and was given up.")
    return CannotDraw()
