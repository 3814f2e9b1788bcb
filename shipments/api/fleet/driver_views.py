"""Drivers: list, add, show, amend, remove."""

import uuid

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation
from shipments.api.authentication import subject_of
from shipments.api.fleet import schemas, serializers
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import require_reader, validated_body
from shipments.api.lists import parameters
from shipments.api.lists.responses import page_response
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, LINK, LOCATION, problem_responses
from shipments.auth.subjects import Subject
from shipments.selectors import parties
from shipments.selectors.lists import keyset, rendering
from shipments.selectors.lists.definitions import DRIVERS
from shipments.selectors.lists.parsing import parse_list_query
from shipments.services import DriverNotFound
from shipments.services.fleet import drivers


class DriversView(APIView):
    """The drivers that the caller may see."""

    @extend_schema(
        operation_id="listDrivers",
        parameters=[*parameters.openapi_parameters(DRIVERS.parameters), LINK],
        responses={200: schemas.DriverPage, **problem_responses(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List drivers by name; a driver sees itself, a customer none."""
        query = parse_list_query(DRIVERS, request.path, request.META["QUERY_STRING"], require_reader(request))
        return page_response(request, rendering.render_rows(query, keyset.read_page(query), representation.driver))

    @extend_schema(
        operation_id="addDriver",
        request=serializers.DriverEnrolment,
        parameters=[LOCATION, *IDEMPOTENCY_PARAMETERS],
        responses={201: schemas.DriverShape, **problem_responses(body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request) -> Response:
        """Add a driver."""
        subject = subject_of(request)
        subject.require("shipments:write")
        driver = drivers.create(by=subject, now=clock.now(), **validated_body(serializers.DriverEnrolment, request))
        return Response(
            _driver_json(subject, driver.pk), status=201, headers={"Location": reverse("driver", args=[driver.pk])}
        )


class DriverView(APIView):
    """One driver."""

    @extend_schema(operation_id="getDriver", responses={200: schemas.DriverShape, **problem_responses(404)})
    def get(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Show a driver."""
        return Response(
            _driver_json(require_reader(request), driver_id), headers={"Cache-Control": "private, no-cache"}
        )

    @extend_schema(
        operation_id="amendDriver",
        request=serializers.DriverAmendment,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.DriverShape, **problem_responses(404, body=True, keyed=True)},
    )
    @idempotent_write
    def patch(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Change a driver."""
        subject = subject_of(request)
        _driver_json(subject, driver_id)
        subject.require("shipments:write")
        changes = validated_body(serializers.DriverAmendment, request)
        drivers.amend(by=subject, now=clock.now(), driver_id=driver_id, changes=changes)
        return Response(_driver_json(subject, driver_id))

    @extend_schema(
        operation_id="removeDriver",
        request=None,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={204: None, **problem_responses(404, keyed=True)},
    )
    @idempotent_write
    def delete(self, request: Request, driver_id: uuid.UUID) -> Response:
        """Remove a driver; one with shipments or a login becomes `inactive` instead."""
        subject = subject_of(request)
        _driver_json(subject, driver_id)
        subject.require("shipments:write")
        drivers.remove_or_deactivate(by=subject, now=clock.now(), driver_id=driver_id)
        return Response(status=204)


def _driver_json(subject: Subject, driver_id: uuid.UUID) -> representation.Json:
    row = parties.driver(subject, driver_id)
    if row is None:
        raise DriverNotFound(str(driver_id))
    return representation.driver(row)
