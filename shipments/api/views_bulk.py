"""Many shipments in one request: booked, amended or advanced, each for itself."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, TypeVar

from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import serializers as fields
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from shipments import representation, services
from shipments.access import Subject
from shipments.api import errors, serializers, shapes
from shipments.api.authentication import subject_of
from shipments.api.documentation import KEYED, problems
from shipments.api.fields import StrictSerializer, Text
from shipments.api.idempotency import written
from shipments.api.views import values
from shipments.models import Location, Shipment
from shipments.selectors import shipments as selectors
from shipments.selectors.parameters import InvalidFields, field_error
from shipments.services import rows

MAX_ITEMS: Final = 1000
Resolver = Callable[[Any], Location]
Result = TypeVar("Result")
_PLACES: Final = frozenset({"origin", "destination", "location"})
_TAG: Final = re.compile(r'\*|(?:W/)?"(?P<seq>\d{1,18})(?:\.[^"]*)?"', re.ASCII)


@extend_schema_field({"type": "string", "examples": ['"4.0f3a"', "*"]})
class Version(fields.Field[Any, Any, Any, Any]):
    """An ETag, of which the number before the dot counts, or `*`."""

    default_error_messages = {"invalid": 'Give an ETag such as "4.0f3a", quotes included, or *.'}

    def to_internal_value(self, data: object) -> int | None:
        """This will return the expected seq, None for any."""
        tag = _TAG.fullmatch(data) if isinstance(data, str) else None
        if tag is None:
            self.fail("invalid")
        return int(tag["seq"]) if tag["seq"] else None


class BulkCreation(serializers.ShipmentBooking):
    """A shipment to be booked."""

    op = serializers.Choice(choices=["create"])


class _OfOne(StrictSerializer):
    reference = Text(min_length=1, max_length=serializers.MAX_REFERENCE)
    ifMatch = Version(source="expected_seq", required=False)  # noqa: N815  a name on the wire


class BulkAmendment(_OfOne, serializers.ShipmentAmendment):
    """A shipment to be changed."""

    op = serializers.Choice(choices=["update"])


class BulkTransition(_OfOne, serializers.Transition):
    """A shipment to be moved to another state."""

    op = serializers.Choice(choices=["transition"])


class _Items(fields.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": f"Give a list of 1 to {MAX_ITEMS:,} items."}

    def to_internal_value(self, data: object) -> list[Any]:
        """This will return the list; its items are judged one by one, each with an answer of its own."""
        if not isinstance(data, list) or not 1 <= len(data) <= MAX_ITEMS:
            self.fail("invalid")
        return data


class _Bulk(StrictSerializer):
    items = _Items()


class BulkBody(fields.Serializer[Any]):
    """What is to be done, in this order."""

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
        parameters=[*KEYED],
        responses={200: shapes.BulkAnswer, **problems(body=True, keyed=True)},
    )
    @written
    def post(self, request: Request) -> Response:
        """Book, change and advance up to 1,000 shipments: each item succeeds or fails alone, and 200 tells how.

        All that succeeds is committed together. Items are done in their order; a shipment is shown as it is at
        the end.
        """
        subject = subject_of(request)
        subject.require("shipments:write")
        items = values(_Bulk, request)["items"]
        now = timezone.now()
        rows.lock_in_order([name for item in items if (name := _named(item))], by=subject)
        # A thousand shipments go from and to a few places.
        place = lru_cache(maxsize=None)(partial(services.resolve_place, organization_id=subject.organization_id))
        done: list[_Done] = []
        for creates, together in groupby(items, key=_creates):
            if creates:
                done += _booked(list(together), by=subject, now=now, place=place)
            else:
                done += [
                    _attempted(partial(_carried_out, item, by=subject, now=now, place=place), item)
                    for item in together
                ]
        shown = _shown(subject, [each.reference for each in done if each.reference and not each.problem])
        results = [{"index": index} | each.told(shown) for index, each in enumerate(done)]
        failed = sum(bool(each.problem) for each in done)
        return Response({"succeeded": len(done) - failed, "failed": failed, "results": results})


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of an item."""

    status: int
    reference: str | None
    problem: Mapping[str, Any] | None = None

    def told(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        about: dict[str, Any] = {"status": self.status, "reference": self.reference}
        if self.problem or self.reference is None:
            return about | {"problem": self.problem}
        return about | {"shipment": shown[self.reference.upper()]}


def _update(
    *, by: Subject, now: datetime, reference: str, expected_seq: int | None = None, **changes: Any
) -> Shipment:
    return services.amend(by=by, now=now, reference=reference, changes=changes, expected_seq=expected_seq)


# One serializer for all items of a kind: making it costs more than using it, and it keeps nothing of what it read.
_OPERATIONS: Final[Mapping[str, tuple[fields.Serializer[Any], Callable[..., Shipment]]]] = {
    "update": (BulkAmendment(), _update),
    "transition": (BulkTransition(), services.advance),
}
_CREATION: Final = BulkCreation()


def _creates(item: Any) -> bool:
    return isinstance(item, dict) and item.get("op") == "create"


def _booked(items: list[Any], *, by: Subject, now: datetime, place: Resolver) -> list[_Done]:
    """This will book what follows one another in one go; what an item is refused for is its answer."""
    read = [_attempted(partial(_values, _CREATION, item, place), item) for item in items]
    bookings = [each for each in read if not isinstance(each, _Done)]
    booked = iter(services.book_all(by=by, now=now, bookings=bookings))
    return [
        each if isinstance(each, _Done) else _answer(next(booked), item)
        for each, item in zip(read, items, strict=True)
    ]


def _answer(became: Shipment | Exception, item: Any) -> _Done:
    return _Done(201, became.reference) if isinstance(became, Shipment) else _refusal(became, item)


def _attempted(attempt: Callable[[], Result], item: Any) -> Result | _Done:
    """This will do something with one item; what it is refused for is its answer."""
    try:
        return attempt()
    except Exception as error:  # noqa: BLE001  raised again unless it is the item's own fault
        return _refusal(error, item)


def _refusal(error: Exception, item: Any) -> _Done:
    """This will tell what an item is refused for.

    Raises what is nobody's fault in particular: a database that is away, a deadlock.
    """
    problem = errors.members(error)
    if problem is None or problem["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    return _Done(problem["status"], _named(item), problem)


def _carried_out(item: Any, *, by: Subject, now: datetime, place: Resolver) -> _Done:
    op = item.get("op") if isinstance(item, dict) else None
    if not isinstance(op, str) or op not in _OPERATIONS:
        message = f"Give an object whose op is one of create, {', '.join(_OPERATIONS)}."
        raise InvalidFields([field_error("op", "invalid", message)])
    serializer, service = _OPERATIONS[op]
    return _Done(200, service(by=by, now=now, **_values(serializer, item, place)).reference)


def _values(serializer: fields.Serializer[Any], item: Any, place: Resolver) -> dict[str, Any]:
    read: dict[str, Any] = serializer.run_validation(item)
    return {
        name: place(value) if value and name in _PLACES else value for name, value in read.items() if name != "op"
    }


def _named(item: Any) -> str | None:
    reference = item.get("reference") if isinstance(item, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= serializers.MAX_REFERENCE else None


def _shown(subject: Subject, references: list[str]) -> dict[str, Any]:
    found = selectors.visible_shipments(subject).with_references(references).values(*representation.SHIPMENT_COLUMNS)
    return {row["reference"].upper(): representation.shipment(row, subject.variant) for row in found}
