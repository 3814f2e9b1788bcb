"""Many positions in one request: the fleet of a telematics system, or what a phone has buffered."""

import uuid
from functools import partial
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import intake, services
from shipments.api.authentication import subject_of
from shipments.api.fleet import serializers
from shipments.api.fleet.ignored_positions import (
    ACCEPTED,
    IGNORED,
    IGNORED_CODES,
    REFUSED,
    count_ignored_position,
)
from shipments.api.fleet.schemas import PositionBatchResult
from shipments.api.http import errors
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, problem_responses
from shipments.auth.subjects import Subject
from shipments.services import Fix, InvalidArgument


class PositionsView(APIView):
    """The positions of drivers."""

    base_policy = "positions"

    @extend_schema(
        operation_id="reportPositions",
        request=serializers.PositionBatchBody,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={200: PositionBatchResult, **problem_responses(body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request) -> Response:
        """Report up to 1,000 positions: of any driver with an API key (`positions:write`), a driver its own.

        Each is stored, ignored or refused alone, and the status is 200. A position is known by its driver and time:
        sent again, it has no further effect.
        """
        subject = subject_of(request)
        services.require_reporter(subject)
        items = validated_body(serializers.PositionBatch, request)["positions"]
        problems: dict[int, Exception] = {}
        fixes: dict[int, Fix] = {}
        for index, item in enumerate(items):
            try:
                fixes[index] = _parse_fix(item, subject.driver_id)
            except (InvalidArgument, ValidationError) as error:
                problems[index] = error
        # In the order of their times, whatever the order of the request: each is measured from the one before.
        indexes = sorted(fixes, key=lambda index: fixes[index].recorded_at)
        batch = intake.record_positions(by=subject, now=clock.now(), batch=[fixes[index] for index in indexes])
        problems |= {indexes[place]: error for place, error in batch.refused}
        results = [_result_json(subject, index, problems.get(index)) for index in range(len(items))]
        outcomes = [each["outcome"] for each in results]
        counts = {outcome: outcomes.count(outcome) for outcome in (ACCEPTED, IGNORED, REFUSED)}
        return Response({**counts, "results": results})


def _parse_fix(item: Any, own_driver_id: uuid.UUID | None) -> Fix:
    """Return the fix of an item; raises InvalidArgument, ValidationError."""
    bound = serializers.PositionItem(data=item)
    bound.is_valid(raise_exception=True)
    driver_id = bound.validated_data.pop("driver_id", own_driver_id)
    if driver_id is None:
        raise InvalidArgument("driverId", "Say whose position it is.", code="required")
    return Fix(driver_id, **bound.validated_data)


def _result_json(subject: Subject, index: int, error: Exception | None) -> dict[str, Any]:
    if error is None:
        return {"index": index, "outcome": ACCEPTED}
    if isinstance(error, InvalidArgument) and error.code in IGNORED_CODES:
        # The request may run again after a deadlock.
        transaction.on_commit(partial(count_ignored_position, subject, error), robust=True)
        return {"index": index, "outcome": IGNORED, "reason": error.code}
    return {"index": index, "outcome": REFUSED, "problem": errors.problem_of(error)}
