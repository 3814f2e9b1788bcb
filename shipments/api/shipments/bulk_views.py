"""Bulk changes: book, amend and advance many shipments in one request, each item on its own."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, TypeVar

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers as fields
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation, services
from shipments.api.authentication import subject_of
from shipments.api.http import errors
from shipments.api.http.fields import Choice, StrictSerializer, Text
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, problem_responses
from shipments.api.shipments import schemas, serializers
from shipments.auth.subjects import Subject
from shipments.domain.versions import Version
from shipments.models import Location, Shipment
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.selectors import shipments as selectors
from shipments.services import write

MAX_ITEMS: Final = 1000
Resolver = Callable[[Any], Location]
Result = TypeVar("Result")
_PLACE_FIELDS: Final = frozenset({"origin", "destination", "location"})
_TAG: Final = re.compile(r'\*|(?:W/)?"(?P<tag>[^"]*)"')


@extend_schema_field({"type": "string", "examples": ['"4.0f3a"', "*"]})
class VersionField(fields.Field[Any, Any, Any, Any]):
    """An ETag, of which only the version counts, or `*`."""

    default_error_messages = {"invalid": 'Give an ETag such as "4.0f3a", quotes included, or *.'}

    def to_internal_value(self, data: object) -> Version | None:
        """Return the expected version, None for `*`."""
        match = _TAG.fullmatch(data) if isinstance(data, str) else None
        if match is not None and match["tag"] is None:
            return None
        version = Version.parse(match["tag"]) if match else None
        if version is None:
            self.fail("invalid")
        return version


class BulkCreation(serializers.ShipmentBooking):
    """A shipment to book."""

    op = Choice(choices=["create"])


class _ExistingShipment(StrictSerializer):
    reference = Text(min_length=1, max_length=serializers.MAX_REFERENCE)
    ifMatch = VersionField(source="expected_version", required=False)  # noqa: N815  a name on the wire


class BulkAmendment(_ExistingShipment, serializers.ShipmentAmendment):
    """A shipment to amend."""

    op = Choice(choices=["update"])


class BulkTransition(_ExistingShipment, serializers.Transition):
    """A shipment to move to another state."""

    op = Choice(choices=["transition"])


class _Items(fields.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": f"Give a list of 1 to {MAX_ITEMS:,} items."}

    def to_internal_value(self, data: object) -> list[Any]:
        """Return the list; its items are validated one by one later, each with a result of its own."""
        if not isinstance(data, list) or not 1 <= len(data) <= MAX_ITEMS:
            self.fail("invalid")
        return data


class _Bulk(StrictSerializer):
    items = _Items()


class BulkBody(fields.Serializer[Any]):
    """The items, applied in this order."""

    items = fields.ListField(
        child=PolymorphicProxySerializer(
            component_name="BulkItem",
            serializers={"create": BulkCreation, "update": BulkAmendment, "transition": BulkTransition},
            resource_type_field_name="op",
        ),
        min_length=1,
        max_length=MAX_ITEMS,
    )


class BulkView(APIView):
    """Several shipments at once."""

    @extend_schema(
        operation_id="changeShipments",
        request=BulkBody,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.BulkAnswer, **problem_responses(body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request) -> Response:
        """Book, change and advance up to 1,000 shipments: each item succeeds or fails alone, and the status is 200.

        The items that succeed are committed together. They are applied in their order; every result shows its
        shipment as it is at the end.
        """
        subject = subject_of(request)
        subject.require("shipments:write")
        items = validated_body(_Bulk, request)["items"]
        now = clock.now()
        write.lock_shipments_in_order([name for item in items if (name := _reference_of(item))], by=subject)
        # A thousand shipments share a few places: resolve each place once.
        place = lru_cache(maxsize=None)(partial(services.resolve_place, organization_id=subject.organization_id))
        item_results: list[_ItemResult] = []
        for is_creation, group in groupby(items, key=_is_creation):
            if is_creation:
                item_results += _book_items(list(group), by=subject, now=now, place=place)
            else:
                item_results += [
                    _attempt(partial(_apply_item, item, by=subject, now=now, place=place), item) for item in group
                ]
        shipments_json = _shipments_json(
            subject, [each.reference for each in item_results if each.reference and not each.problem]
        )
        results = [{"index": index} | each.as_json(shipments_json) for index, each in enumerate(item_results)]
        failed = sum(bool(each.problem) for each in item_results)
        return Response({"succeeded": len(item_results) - failed, "failed": failed, "results": results})


@dataclass(frozen=True, slots=True)
class _ItemResult:
    """The result of one item; `problem` where it failed."""

    status: int
    reference: str | None
    problem: Mapping[str, Any] | None = None

    def as_json(self, shipments_json: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"status": self.status, "reference": self.reference}
        if self.problem or self.reference is None:
            return result | {"problem": self.problem}
        return result | {"shipment": shipments_json[self.reference.upper()]}


def _update(
    *, by: Subject, now: datetime, reference: str, expected_version: Version | None = None, **changes: Any
) -> Shipment:
    return services.amend(by=by, now=now, reference=reference, changes=changes, expected_version=expected_version)


# One serializer for all items of an operation: building one costs more than using it, and it holds no state.
_OPERATIONS: Final[Mapping[str, tuple[fields.Serializer[Any], Callable[..., Shipment]]]] = {
    "update": (BulkAmendment(), _update),
    "transition": (BulkTransition(), services.advance),
}
_CREATION: Final = BulkCreation()


def _is_creation(item: Any) -> bool:
    return isinstance(item, dict) and item.get("op") == "create"


def _book_items(items: list[Any], *, by: Subject, now: datetime, place: Resolver) -> list[_ItemResult]:
    """Book consecutive items in one call; the error of an item is its result."""
    parsed = [_attempt(partial(_values, _CREATION, item, place), item) for item in items]
    bookings = [each for each in parsed if not isinstance(each, _ItemResult)]
    booked = iter(services.book_all(by=by, now=now, bookings=bookings))
    return [
        each if isinstance(each, _ItemResult) else _booking_result(next(booked), item)
        for each, item in zip(parsed, items, strict=True)
    ]


def _booking_result(outcome: Shipment | Exception, item: Any) -> _ItemResult:
    return _ItemResult(201, outcome.reference) if isinstance(outcome, Shipment) else _refused(outcome, item)


def _attempt(attempt: Callable[[], Result], item: Any) -> Result | _ItemResult:
    """Call `attempt`; the error of the item is its result."""
    try:
        return attempt()
    except Exception as error:  # noqa: BLE001  _refused raises it again unless it is the error of the item
        return _refused(error, item)


def _refused(error: Exception, item: Any) -> _ItemResult:
    """Return the problem of an item as its result.

    Raises an error that is not of the item: an unavailable database, a deadlock, a defect.
    """
    problem = errors.problem_of(error)
    if problem is None or problem["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    return _ItemResult(problem["status"], _reference_of(item), problem)


def _apply_item(item: Any, *, by: Subject, now: datetime, place: Resolver) -> _ItemResult:
    op = item.get("op") if isinstance(item, dict) else None
    if not isinstance(op, str) or op not in _OPERATIONS:
        message = f"Give an object whose op is one of create, {', '.join(_OPERATIONS)}."
        raise InvalidFields([field_error("op", "invalid", message)])
    serializer, service = _OPERATIONS[op]
    return _ItemResult(200, service(by=by, now=now, **_values(serializer, item, place)).reference)


def _values(serializer: fields.Serializer[Any], item: Any, place: Resolver) -> dict[str, Any]:
    validated: dict[str, Any] = serializer.run_validation(item)
    return {
        name: place(value) if value and name in _PLACE_FIELDS else value
        for name, value in validated.items()
        if name != "op"
    }


def _reference_of(item: Any) -> str | None:
    reference = item.get("reference") if isinstance(item, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= serializers.MAX_REFERENCE else None


def _shipments_json(subject: Subject, references: list[str]) -> dict[str, Any]:
    matching = (
        selectors.visible_shipments(subject).with_references(references).values(*representation.SHIPMENT_COLUMNS)
    )
    return {row["reference"].upper(): representation.shipment(row, subject.variant) for row in matching}
