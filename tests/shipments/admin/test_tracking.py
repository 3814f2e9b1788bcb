"""Observations, proofs and tracking links in the admin: reached from the shipment, changed by services."""

from datetime import timedelta
from typing import Any

import pytest

from shipments import services
from shipments.auth import bearers
from shipments.models import AuditEntry, Checkpoint, Organization, Shipment, ShipmentEvent
from shipments.services import Observation
from shipments.services.shipments import tracking_links
from tests import factories
from tests.factories import NOW
from tests.shipments.admin.operators import OperatorFactory, messages_of

pytestmark = pytest.mark.django_db
LIST = "/admin/shipments/checkpoint/"


@pytest.fixture
def shipment(organization: Organization) -> Shipment:
    """Return a shipment that a feed says is on its way."""
    return _observed_shipment(organization)


def _observed_shipment(organization: Organization) -> Shipment:
    by = factories.member(organization, "dispatcher")
    shipment = factories.booked_shipment(
        by, driver_id=factories.driver(organization).pk, now=NOW - timedelta(hours=10)
    )
    observation = Observation(classifier="ACT", occurred_at=NOW, source="edi", state="in_transit")
    services.observe(by=by, now=NOW, reference=shipment.reference, observation=observation)
    return Shipment.objects.get(pk=shipment.pk)


def _void(client: Any, shipment: Shipment, reason: str) -> Any:
    key = Checkpoint.objects.values_list("pk", flat=True).get(shipment=shipment)
    return client.post(
        f"{LIST}?shipment__id__exact={shipment.pk}",
        {"action": "void", "_selected_action": [str(key)], "reason": reason},
    )


@pytest.mark.parametrize("role", ["dispatcher", "root"])
def test_an_observation_is_voided_with_its_reason(operator: OperatorFactory, shipment: Shipment, role: str) -> None:
    response = _void(operator(role), shipment, "wrong truck")

    assert messages_of(response) == ["1 voided."]
    assert Checkpoint.objects.get(shipment=shipment).void_reason == "wrong truck"
    assert Shipment.objects.get(pk=shipment.pk).status == "booked"
    event = ShipmentEvent.objects.get(shipment=shipment, type="voided")
    assert (event.actor_role, event.actor_id is None) == ("superuser" if role == "root" else role, False)


@pytest.mark.parametrize("reason", ["", "  "])
def test_voiding_needs_a_reason(operator: OperatorFactory, shipment: Shipment, reason: str) -> None:
    response = _void(operator("dispatcher"), shipment, reason)

    assert messages_of(response) == ["Say why: voiding needs a reason."]
    assert Checkpoint.objects.get(shipment=shipment).voided_at is None


def test_an_auditor_sees_observations_and_voids_none(operator: OperatorFactory, shipment: Shipment) -> None:
    client = operator("auditor")

    assert [
        each.state for each in client.get(LIST, {"shipment__id__exact": str(shipment.pk)}).context["cl"].queryset
    ] == ["in_transit"]
    _void(client, shipment, "wrong truck")
    assert Checkpoint.objects.get(shipment=shipment).voided_at is None


def test_another_organisations_observations_are_not_there(operator: OperatorFactory) -> None:
    theirs = _observed_shipment(factories.organization("Rival"))

    response = _void(operator("dispatcher"), theirs, "wrong truck")

    assert Checkpoint.objects.get(shipment=theirs).voided_at is None
    assert list(response.wsgi_request.GET) == ["shipment__id__exact"]


def _void_event(client: Any, shipment: Shipment, *seqs: int) -> Any:
    keys = ShipmentEvent.objects.filter(shipment=shipment, seq__in=seqs).values_list("pk", flat=True)
    return client.post(
        "/admin/shipments/shipmentevent/",
        {"action": "void", "_selected_action": [str(key) for key in keys], "reason": "a slip"},
    )


@pytest.mark.parametrize("role", ["dispatcher", "root"])
def test_a_command_is_voided_in_the_log_with_its_reason(
    operator: OperatorFactory, organization: Organization, shipment: Shipment, role: str
) -> None:
    by = factories.member(organization, "dispatcher")
    services.advance(by=by, now=NOW, reference=shipment.reference, to="delivered")

    response = _void_event(operator(role), shipment, 3)

    assert messages_of(response) == ["1 voided."]
    assert Shipment.objects.get(pk=shipment.pk).status == "in_transit"
    assert ShipmentEvent.objects.get(shipment=shipment, type="voided").data["note"] == "a slip"


def test_other_events_are_refused_one_by_one(operator: OperatorFactory, shipment: Shipment) -> None:
    response = _void_event(operator("dispatcher"), shipment, 1, 2)

    refusal, done = messages_of(response)
    assert refusal.endswith("only an accepted command (transitioned) or an observation (observed) can be voided.")
    assert done == "1 voided."


def test_an_auditor_voids_no_command(operator: OperatorFactory, shipment: Shipment) -> None:
    _void_event(operator("auditor"), shipment, 2)

    assert Shipment.objects.get(pk=shipment.pk).status == "in_transit"


@pytest.mark.parametrize("page", ["checkpoint", "proofofdelivery"])
def test_without_a_shipment_nothing_is_listed(operator: OperatorFactory, shipment: Shipment, page: str) -> None:
    client = operator("root")

    assert list(client.get(f"/admin/shipments/{page}/").context["cl"].queryset) == []
    assert f"/admin/shipments/{page}/".encode() not in client.get("/admin/").content


def test_the_shipments_page_leads_to_what_belongs_to_it(operator: OperatorFactory, shipment: Shipment) -> None:
    client = operator("dispatcher")

    page = client.get(f"/admin/shipments/shipment/{shipment.pk}/change/").content.decode()

    for name in ("shipmentevent", "checkpoint", "proofofdelivery", "trackinglink"):
        link = f"/admin/shipments/{name}/?shipment__id__exact={shipment.pk}"
        assert f'href="{link}"' in page
        assert client.get(link).status_code == 200


def test_a_tracking_link_is_shown_without_its_token_and_revoked(
    operator: OperatorFactory, organization: Organization, shipment: Shipment
) -> None:
    by = factories.member(organization, "dispatcher")
    link, token = tracking_links.create(by=by, now=NOW, reference=shipment.reference)
    client = operator("dispatcher")

    page = client.get(f"/admin/shipments/trackinglink/{link.pk}/change/")
    response = client.post(
        "/admin/shipments/trackinglink/", {"action": "revoke", "_selected_action": [str(link.pk)]}
    )

    assert token.encode() not in page.content
    assert b"digest" not in page.content
    assert messages_of(response) == ["1 revoked."]
    assert bearers.authenticate(token, now=NOW) is None
    assert client.get("/admin/shipments/trackinglink/add/").status_code == 403
    assert AuditEntry.objects.filter(entity="tracking_link", entity_id=str(link.pk)).count() == 2
