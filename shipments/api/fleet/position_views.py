"""The position of a driver, reported by its own login or device key."""

import uuid
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import intake, representation, services
from shipments.api.fleet import ignored_positions
from shipments.api.fleet.permissions import require_visible_driver
from shipments.api.fleet.schemas import RecordedPosition
from shipments.api.fleet.serializers import LocationReport
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.services import Fix, InvalidArgument
from shipments.services.fleet import positions


class LocationView(APIView):
    """The position of one driver."""

    base_policy = "positions"

    @extend_schema(
        operation_id="reportLocation",
        request=LocationReport,
        responses={200: RecordedPosition, 201: RecordedPosition, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Report the caller's own position, with an API key (`positions:write`) that of any driver.

        A second report for the same time gets 200 and changes nothing. What no later attempt can mend gets 200,
        too, with the outcome `ignored` and the reason: a time in the future or more than seven days ago, 0° 0°, a
        jump that no vehicle can make (three such reports in a row that agree are accepted). A body that is refused
        with 400 will always be: drop it.
        """
        subject = require_visible_driver(request, driver_id)
        services.require_reporter(subject)
        report = validated_body(LocationReport, request)
        now = clock.now()
        fix = Fix(driver_id, **report | {"recorded_at": report.get("recorded_at") or now})
        try:
            result = intake.record_position(by=subject, now=now, **asdict(fix))
        except InvalidArgument as error:
            if error.code not in ignored_positions.IGNORED_CODES:
                raise
            ignored_positions.count_ignored_position(subject, error)
            return Response(_position_json(fix, ignored_positions.IGNORED, reason=error.code))
        return Response(
            _position_json(fix, result.outcome), status=200 if result.outcome == positions.DUPLICATE else 201
        )


def _position_json(fix: Fix, outcome: str, reason: str | None = None) -> dict[str, Any]:
    position = representation.driver_position(fix.driver_id, fix.latitude, fix.longitude, fix.recorded_at)
    return position | {
        "accuracy": fix.accuracy, "speed": fix.speed, "bearing": fix.bearing, "outcome": outcome, "reason": reason,
    }  # fmt: skip
