"""The published schema, fuzzed against the running product: no 5xx, and no undocumented response."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from pytest_django import DjangoDbBlocker
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests import factories
from tests.drills.harness.product_stage import ProductStage
from tests.journeys import clients

pytestmark = [pytest.mark.journey]


@pytest.fixture(scope="session")
def administrator(product: ProductStage, django_db_blocker: DjangoDbBlocker) -> Iterator[httpx.Client]:
    with django_db_blocker.unblock():
        organization = factories.organization()
        factories.booked_shipment(factories.member(organization, "dispatcher"), reference="FUZZ-1")
        http = clients.logged_in_client(product.api, organization, "admin")
    yield http
    http.close()


def operations() -> dict[str, Any]:
    """Return every operation of the schema except logout, which would end the login of this test."""
    generator: Any = SchemaGenerator  # untyped
    document = generator().get_schema(request=None, public=True)
    del document["paths"]["/api/auth/logout"]
    results: Any = schemathesis.openapi.from_dict(document).get_all_operations()
    loaded = [each.ok() for each in results]
    return {operation.label: operation for operation in loaded}


OPERATIONS = operations()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_request_breaks_the_schema(label: str, product: ProductStage, administrator: httpx.Client) -> None:
    token = administrator.headers["Authorization"]

    @given(case=OPERATIONS[label].as_strategy())
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send_case(case: Any) -> None:
        if case.query and "wait" in case.query:
            case.query = {**case.query, "wait": 1}  # no long waits in long polls
        transport = {"base_url": product.api.url, "headers": {"Authorization": token}}
        if OPERATIONS[label].path.endswith("/stream"):
            with requests.request(**case.as_transport_kwargs(**transport), timeout=10, stream=True) as answer:
                if answer.status_code == 200:  # a stream does not end: check its start
                    assert answer.headers["Content-Type"].startswith("text/event-stream")
                    assert next(answer.iter_lines()).startswith(b"retry: ")
                    return
                case.validate_response(answer, checks=CHECKS)
        else:
            case.call_and_validate(**transport, checks=CHECKS)

    send_case()
