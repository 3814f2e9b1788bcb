"""Conditional requests (RFC 9110, section 13), and JSON responses with an ETag."""

import re
from typing import Final

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from shipments.api.http.errors import PreconditionRequired
from shipments.auth.subjects import Subject
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound, StaleWrite

_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_SEQ: Final = re.compile(r"\d{1,18}", re.ASCII)


def is_fresh(request: HttpRequest | Request, etag: str) -> bool:
    """Tell whether the client has the version with this ETag (If-None-Match, weak comparison)."""
    header = request.META.get("HTTP_IF_NONE_MATCH", "").strip()
    return header == "*" or etag.strip('"') in _TAG.findall(header)


def expected_seq(request: Request, subject: Subject, reference: str, *, required: bool) -> int | None:
    """Return the `seq` in If-Match, None for `*` and, unless `required`, without the header.

    Only the part of an ETag before the dot counts: the hash after it covers names and positions, which a write of
    the shipment does not change. Raises PreconditionRequired, StaleWrite, ShipmentNotFound.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header and required:
        raise PreconditionRequired
    if header in {"", "*"}:
        return None
    numbers = {int(part) for tag in _TAG.findall(header) if _SEQ.fullmatch(part := tag.partition(".")[0])}
    if len(numbers) == 1:
        return numbers.pop()
    current_seq = (
        selectors.visible_shipments(subject).with_reference(reference).values_list("seq", flat=True).first()
    )
    if current_seq is None:
        raise ShipmentNotFound(reference)
    if current_seq not in numbers:
        raise StaleWrite(current_seq)
    return int(current_seq)


def json_response(body: bytes | None, etag: str | None, *, status: int = 200) -> HttpResponse:
    """Return JSON that only the client may store, and must revalidate; with its ETag where it has one.

    No body means that the client has this version already: 304.
    """
    headers = {"Cache-Control": "private, no-cache"} | ({"ETag": etag} if etag else {})
    response = HttpResponse(body or b"", status=304 if body is None else status, headers=headers)
    if body is None:
        del response["Content-Type"]
    else:
        response["Content-Type"] = "application/json"
    return response
