"""What the views of this API have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from shipments.api.authentication import subject_of
from shipments.api.http import conditional
from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import InvalidFields
from shipments.parsing.strict_json import InvalidJson
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound


def require_reader(request: Request) -> Subject:
    """Return the caller, who may read shipments; raises Forbidden."""
    subject = subject_of(request)
    subject.require("shipments:read")
    return subject


def require_follower(request: Request) -> Subject:
    """Return the caller, a member or a tracking link, who may follow a shipment; raises Forbidden."""
    subject = subject_of(request)
    subject.require("shipment:follow")
    return subject


def validated_body(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the body's values by column; raises ValidationError, NotStrict, TooLarge."""
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    body_values: dict[str, Any] = checked.validated_data
    return body_values


@contextmanager
def not_found_unless_visible(subject: Subject, reference: str) -> Iterator[None]:
    """Turn any refusal into ShipmentNotFound where the subject may not see the shipment.

    Otherwise 403 or 400 would tell a stranger that something is there. Costs a query only when refusing.
    """
    try:
        yield
    except (APIException, InvalidFields, InvalidJson, subjects.Forbidden):
        if not selectors.visible_shipments(subject).with_reference(reference).exists():
            raise ShipmentNotFound(reference) from None
        raise


def shipment_command(
    request: Request,
    reference: str,
    *,
    permission: str,
    body: type[Serializer[Any]] | None = None,
    version_required: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what every service that changes a shipment takes, and the body's values.

    The first are `by, now, reference, expected_seq`. Raises what refuses the request; ShipmentNotFound in
    place of any of it where the caller may not see the shipment.
    """
    subject = subject_of(request)
    with not_found_unless_visible(subject, reference):
        subject.require(permission)
        expected_seq = conditional.expected_seq(request, subject, reference, required=version_required)
        body_values = validated_body(body, request) if body else {}
    return {"by": subject, "now": timezone.now(), "reference": reference, "expected_seq": expected_seq}, body_values
