"""Bulk changes: book, amend, advance and observe many shipments in one request, each item on its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as fields
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation, services
from shipments.api.authentication import subject_of
from shipments.api.http import errors
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, problem_responses
from shipments.api.shipments import schemas
from shipments.api.shipments.bulk_items import (
    BulkAmendment,
    BulkBody,
    BulkCreation,
    BulkItems,
    BulkObservation,
    BulkTransition,
)
from shipments.api.shipments.serializers import MAX_REFERENCE
from shipments.auth.subjects import Subject
from shipments.domain.versions import Version
from shipments.models import Checkpoint, Location, Shipment
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.selectors import shipments as selectors
from shipments.services import Observation, write

Resolver = Callable[[Any], Location]
Result = TypeVar("Result")
_PLACE_FIELDS: Final = frozenset({"origin", "destination", "location"})


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
        """Book, change, advance and observe in up to 1,000 items; each succeeds or fails alone, the status is 200.

        The items that succeed are committed together. They are applied in their order; every result shows its
        shipment as it is at the end.
        """
        subject = subject_of(request)
        subject.require("checkpoints:write")
        items = validated_body(BulkItems, request)["items"]
        if not all(_op_of(item) == "observe" for item in items):
            subject.require("shipments:write")
        batch = _Batch(subject, clock.now(), items)
        item_results: list[_ItemResult] = []
        for is_creation, group in groupby(items, key=_is_creation):
            if is_creation:
                item_results += _book_items(batch, list(group))
            else:
                item_results += [_attempt(partial(_apply_item, batch, item), item) for item in group]
        shipments_json = _shipments_json(
            subject, [each.reference for each in item_results if each.reference and not each.problem]
        )
        results = [{"index": index} | each.as_json(shipments_json) for index, each in enumerate(item_results)]
        failed = sum(bool(each.problem) for each in item_results)
        return Response({"succeeded": len(item_results) - failed, "failed": failed, "results": results})


class _Batch:
    """What the items of a request share: their shipments are locked, and each place and history is read once."""

    def __init__(self, by: Subject, now: datetime, items: list[Any]) -> None:
        self.by, self.now = by, now
        references = [reference for item in items if (reference := _reference_of(item))]
        self._ids = write.lock_shipments_in_order(references, by=by)
        self.place: Resolver = lru_cache(maxsize=None)(
            partial(services.resolve_place, organization_id=by.organization_id)
        )
        self.histories = services.HistoryCache()
        observed = (_reference_of(item) for item in items if _op_of(item) == "observe")
        self.histories.load({self._ids[key] for each in observed if each and (key := each.upper()) in self._ids})

    def forget_history(self, reference: str) -> None:
        """Have the history of a shipment read anew, which an item has changed, or left half changed."""
        if shipment_id := self._ids.get(reference.upper()):
            self.histories.forget(shipment_id)


@dataclass(frozen=True, slots=True)
class _ItemResult:
    """The result of one item; `problem` where it failed."""

    status: int
    reference: str | None
    problem: Mapping[str, Any] | None = None
    checkpoint: Checkpoint | None = None
    warnings: Sequence[Mapping[str, str]] = ()

    def as_json(self, shipments_json: Mapping[str, Any]) -> dict[str, Any]:
        if self.problem or self.reference is None:
            return {"status": self.status, "reference": self.reference, "problem": self.problem}
        shipment = shipments_json[self.reference.upper()]
        result = {"status": self.status, "reference": shipment["reference"], "shipment": shipment}
        if self.checkpoint is not None:
            result["checkpoint"] = representation.checkpoint(self.checkpoint)
        return result | {"warnings": self.warnings} if self.warnings else result


def _update(batch: _Batch, reference: str, version: Version | None, changes: Mapping[str, Any]) -> _ItemResult:
    services.amend(
        by=batch.by, now=batch.now, reference=reference, changes=changes, expected_version=version
    )  # fmt: skip
    batch.forget_history(reference)
    return _ItemResult(200, reference)


def _advance(batch: _Batch, reference: str, version: Version | None, transition: Mapping[str, Any]) -> _ItemResult:
    services.advance(by=batch.by, now=batch.now, reference=reference, expected_version=version, **transition)
    batch.forget_history(reference)
    return _ItemResult(200, reference)


def _observe(batch: _Batch, reference: str, version: Version | None, report: Mapping[str, Any]) -> _ItemResult:
    observed = dict(report)
    supersedes = observed.pop("supersedes", None)
    try:
        checkpoint, is_new = services.observe(
            by=batch.by, now=batch.now, reference=reference, observation=Observation(**observed),
            supersedes=supersedes, expected_version=version, histories=batch.histories,
        )  # fmt: skip
    except Exception:
        batch.forget_history(reference)
        raise
    return _ItemResult(201 if is_new else 200, reference, checkpoint=checkpoint)


# One serializer for all items of an operation: building one costs more than using it, and it holds no state.
_OPERATIONS: Final[Mapping[str, tuple[fields.Serializer[Any], Callable[..., _ItemResult]]]] = {
    "update": (BulkAmendment(), _update),
    "transition": (BulkTransition(), _advance),
    "observe": (BulkObservation(), _observe),
}
_CREATION: Final = BulkCreation()


def _op_of(item: Any) -> Any:
    return item.get("op") if isinstance(item, dict) else None


def _is_creation(item: Any) -> bool:
    return bool(_op_of(item) == "create")


def _book_items(batch: _Batch, items: list[Any]) -> list[_ItemResult]:
    """Book consecutive items in one call; the error of an item is its result."""
    parsed = [_attempt(partial(_values, _CREATION, item, batch.place), item) for item in items]
    bookings = [each.arguments for each in parsed if not isinstance(each, _ItemResult)]
    booked = iter(services.book_all(by=batch.by, now=batch.now, bookings=bookings))
    return [
        each if isinstance(each, _ItemResult) else _booking_result(next(booked), item, each.warnings)
        for each, item in zip(parsed, items, strict=True)
    ]


def _booking_result(outcome: Shipment | Exception, item: Any, warnings: Sequence[Mapping[str, str]]) -> _ItemResult:
    if isinstance(outcome, Shipment):
        return _ItemResult(201, outcome.reference, warnings=warnings)
    return _refused(outcome, item)


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


def _apply_item(batch: _Batch, item: Any) -> _ItemResult:
    op = _op_of(item)
    if not isinstance(op, str) or op not in _OPERATIONS:
        message = f"Give an object whose op is one of create, {', '.join(_OPERATIONS)}."
        raise InvalidFields([field_error("op", "invalid", message)])
    serializer, service = _OPERATIONS[op]
    parsed = _values(serializer, item, batch.place)
    arguments = dict(parsed.arguments)
    result = service(batch, arguments.pop("reference"), arguments.pop("expected_version", None), arguments)
    return replace(result, warnings=parsed.warnings)


class _Parsed(NamedTuple):
    """The arguments of an item, its places resolved, and what is doubtful about them."""

    arguments: dict[str, Any]
    warnings: list[dict[str, str]]


def _values(serializer: fields.Serializer[Any], item: Any, place: Resolver) -> _Parsed:
    validated: dict[str, Any] = serializer.run_validation(item)
    arguments = {
        name: place(value) if value and name in _PLACE_FIELDS else value
        for name, value in validated.items()
        if name != "op"
    }
    return _Parsed(arguments, services.warnings_of(validated))


def _reference_of(item: Any) -> str | None:
    reference = item.get("reference") if isinstance(item, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= MAX_REFERENCE else None


def _shipments_json(subject: Subject, references: list[str]) -> dict[str, Any]:
    matching = (
        selectors.visible_shipments(subject).with_references(references).values(*representation.SHIPMENT_COLUMNS)
    )
    return {row["reference"].upper(): representation.shipment(row, subject.variant) for row in matching}
