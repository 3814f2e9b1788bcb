"""What views do first: find the caller, check its permission, validate the body."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from monitoring import clock
from shipments.api.authentication import subject_of
from shipments.api.http import conditional
from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import InvalidFields
from shipments.parsing.strict_json import InvalidJson
from shipments.selectors import shipments as selectors
from shipments.services import ShipmentNotFound


def require_reader(request: Request) -> Subject:
    """Return the caller, who may read shipments; raises NotAuthenticated, Forbidden."""
    subject = subject_of(request)
    subject.require("shipments:read")
    return subject


def require_follower(request: Request) -> Subject:
    """Return the caller, a member or tracking link that may follow a shipment; raises as `require_reader`."""
    subject = subject_of(request)
    subject.require("shipment:follow")
    return subject


def validated_body(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body by column name; raises ValidationError, InvalidJson, JsonTooLarge."""
    bound = serializer(data=request.data)
    bound.is_valid(raise_exception=True)
    body_values: dict[str, Any] = bound.validated_data
    return body_values


@contextmanager
def not_found_unless_visible(subject: Subject, reference: str) -> Iterator[None]:
    """Turn every error inside the block into ShipmentNotFound where the subject may not see the shipment.

    Otherwise a 403 or 400 would disclose that the shipment exists. Costs a query only when an error is raised.
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
    """Return the arguments that all services of a shipment take, and the validated body.

    The arguments are `by`, `now`, `reference` and `expected_version`. Raises Forbidden, PreconditionRequired,
    StaleWrite and what `validated_body` raises; ShipmentNotFound instead where the caller may not see the shipment.
    """
    subject = subject_of(request)
    with not_found_unless_visible(subject, reference):
        subject.require(permission)
        version = conditional.expected_version(request, subject, reference, required=version_required)
        body_values = validated_body(body, request) if body else {}
    return {
        "by": subject,
        "now": clock.now(),
        "reference": reference,
        "expected_version": version,
    }, body_values
