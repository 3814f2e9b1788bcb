"""Conditional requests (RFC 9110, section 13), and JSON responses with an ETag."""

import re
from typing import Final

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from shipments.api.http.errors import PreconditionRequired
from shipments.auth.subjects import Subject
from shipments.domain.versions import Version
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound, StaleWrite

_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


def is_fresh(request: HttpRequest | Request, etag: str) -> bool:
    """Tell whether the client has the version with this ETag (If-None-Match, weak comparison)."""
    header = request.META.get("HTTP_IF_NONE_MATCH", "").strip()
    return header == "*" or etag.strip('"') in _TAG.findall(header)


def expected_version(request: Request, subject: Subject, reference: str, *, required: bool) -> Version | None:
    """Return the version in If-Match, None for `*` and, unless `required`, without the header.

    Of an ETag only its version counts: the hash after that covers names and positions, which a write of the
    shipment does not change. Raises PreconditionRequired, StaleWrite, ShipmentNotFound.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header and required:
        raise PreconditionRequired
    if header in {"", "*"}:
        return None
    versions = {version for tag in _TAG.findall(header) if (version := Version.parse(tag))}
    if len(versions) == 1:
        return versions.pop()
    rows = selectors.visible_shipments(subject).with_reference(reference)
    row = rows.values_list("id", "seq", "updated_at").first()
    if row is None:
        raise ShipmentNotFound(reference)
    current_version = Version.of(*row)
    if not any(version.is_met_by(current_version) for version in versions):
        raise StaleWrite(current_version.seq)
    return current_version


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
