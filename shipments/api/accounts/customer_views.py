"""Customer accounts: list, add, show, amend, remove."""

import uuid

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring import clock
from shipments import representation
from shipments.api.accounts import schemas, serializers
from shipments.api.authentication import subject_of
from shipments.api.http.idempotency import idempotent_write
from shipments.api.http.requests import require_reader, validated_body
from shipments.api.lists import parameters
from shipments.api.lists.responses import page_response
from shipments.api.openapi.documentation import IDEMPOTENCY_PARAMETERS, LINK, LOCATION, problem_responses
from shipments.auth.subjects import Subject
from shipments.selectors import parties
from shipments.selectors.lists import keyset, rendering
from shipments.selectors.lists.definitions import CUSTOMERS
from shipments.selectors.lists.parsing import parse_list_query
from shipments.services import CustomerNotFound
from shipments.services.accounts import customers


class CustomersView(APIView):
    """The customer accounts that the caller may see."""

    @extend_schema(
        operation_id="listCustomers",
        parameters=[*parameters.openapi_parameters(CUSTOMERS.parameters), LINK],
        responses={200: schemas.CustomerPage, **problem_responses(400)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List customers by name; a customer sees its own account, a driver none."""
        query = parse_list_query(CUSTOMERS, request.path, request.META["QUERY_STRING"], require_reader(request))
        return page_response(
            request, rendering.render_rows(query, keyset.read_page(query), representation.customer)
        )

    @extend_schema(
        operation_id="addCustomer",
        request=serializers.CustomerOpening,
        parameters=[LOCATION, *IDEMPOTENCY_PARAMETERS],
        responses={201: schemas.CustomerShape, **problem_responses(body=True, keyed=True)},
    )
    @idempotent_write
    def post(self, request: Request) -> Response:
        """Add a customer account."""
        subject = subject_of(request)
        subject.require("shipments:write")
        customer = customers.create(
            by=subject, now=clock.now(), **validated_body(serializers.CustomerOpening, request)
        )
        return Response(
            _customer_json(subject, customer.pk),
            status=201,
            headers={"Location": reverse("customer", args=[customer.pk])},
        )


class CustomerView(APIView):
    """One customer account."""

    @extend_schema(operation_id="getCustomer", responses={200: schemas.CustomerShape, **problem_responses(404)})
    def get(self, request: Request, customer_id: uuid.UUID) -> Response:
        """Show a customer account."""
        return Response(
            _customer_json(require_reader(request), customer_id), headers={"Cache-Control": "private, no-cache"}
        )

    @extend_schema(
        operation_id="amendCustomer",
        request=serializers.CustomerAmendment,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={200: schemas.CustomerShape, **problem_responses(404, body=True, keyed=True)},
    )
    @idempotent_write
    def patch(self, request: Request, customer_id: uuid.UUID) -> Response:
        """Change a customer account."""
        subject = subject_of(request)
        _customer_json(subject, customer_id)
        subject.require("shipments:write")
        changes = validated_body(serializers.CustomerAmendment, request)
        customers.amend(by=subject, now=clock.now(), customer_id=customer_id, changes=changes)
        return Response(_customer_json(subject, customer_id))

    @extend_schema(
        operation_id="removeCustomer",
        request=None,
        parameters=[*IDEMPOTENCY_PARAMETERS],
        responses={204: None, **problem_responses(404, 409, keyed=True)},
    )
    @idempotent_write
    def delete(self, request: Request, customer_id: uuid.UUID) -> Response:
        """Remove a customer account without shipments or members."""
        subject = subject_of(request)
        _customer_json(subject, customer_id)
        subject.require("shipments:write")
        customers.remove(by=subject, now=clock.now(), customer_id=customer_id)
        return Response(status=204)


def _customer_json(subject: Subject, customer_id: uuid.UUID) -> representation.Json:
    row = parties.customer(subject, customer_id)
    if row is None:
        raise CustomerNotFound(str(customer_id))
    return representation.customer(row)
