"""The position of a driver, reported by its own login or device key."""

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import intake, representation
from shipments.api.fleet.permissions import require_visible_driver
from shipments.api.fleet.schemas import RecordedPosition
from shipments.api.fleet.serializers import LocationReport
from shipments.api.http.requests import validated_body
from shipments.api.openapi.documentation import problem_responses
from shipments.services.fleet import positions


class LocationView(APIView):
    """The position of one driver."""

    @extend_schema(
        operation_id="reportLocation",
        request=LocationReport,
        responses={200: RecordedPosition, 201: RecordedPosition, **problem_responses(404, body=True)},
    )
    def post(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Report the caller's own position; a second report for the same time gets 200 and changes nothing.

        A jump that no vehicle can make is refused; three such reports in a row that agree are accepted.
        """
        subject = require_visible_driver(request, driver_id)
        subject.require("positions:write")
        report = validated_body(LocationReport, request)
        result = intake.record_position(by=subject, now=clock.now(), driver_id=driver_id, **report)
        fix = result.fix
        body = representation.driver_position(fix.driver_id, fix.latitude, fix.longitude, fix.recorded_at)
        body |= {"accuracy": fix.accuracy, "speed": fix.speed, "bearing": fix.bearing, "outcome": result.outcome}
        return Response(body, status=200 if result.outcome == positions.DUPLICATE else 201)
