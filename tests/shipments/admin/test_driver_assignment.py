"""Many shipments are given another driver at once, from the admin's list."""

from typing import Any

import pytest
from django.test import Client

from shipments.admin import service_admin
from shipments.models import Driver, Organization, Shipment, ShipmentEvent
from tests import factories
from tests.shipments.admin.operators import OperatorFactory, create_rows, messages_of

pytestmark = pytest.mark.django_db
LIST = "/admin/shipments/shipment/"


def _assign(client: Client, shipments: list[Shipment], driver: Driver | None = None) -> Any:
    body: dict[str, Any] = {"action": "assign_driver", "_selected_action": [str(each.pk) for each in shipments]}
    return client.post(LIST, body | ({"driver": str(driver.pk), "apply": "Assign"} if driver else {}))


def test_the_page_asks_for_a_driver_first(operator: OperatorFactory, organization: Organization) -> None:
    shipments = create_rows(organization, 3)

    page = _assign(operator("dispatcher"), shipments)

    assert page.status_code == 200
    assert all(str(each.pk) in page.content.decode() for each in shipments)
    assert ShipmentEvent.objects.filter(shipment__in=shipments, seq=2).count() == 0


@pytest.mark.parametrize("role", ["dispatcher", "root"])
def test_each_chosen_shipment_gets_the_driver(
    operator: OperatorFactory, organization: Organization, role: str
) -> None:
    *shipments, untouched = create_rows(organization, 4)
    driver = factories.driver(organization, "Relief Driver")

    response = _assign(operator(role), shipments, driver)

    assert messages_of(response) == ["3 assigned to Relief Driver."]
    assert set(Shipment.objects.filter(driver=driver)) == set(shipments)
    assert untouched.driver_id != driver.pk
    events = ShipmentEvent.objects.filter(shipment__in=shipments, seq=2)
    assert [each.actor_role for each in events] == ["superuser" if role == "root" else role] * 3


def test_another_organisations_driver_is_no_choice(operator: OperatorFactory, organization: Organization) -> None:
    shipments = create_rows(organization, 1)
    theirs = factories.driver(factories.organization("Rival"), "Secret Driver")

    page = _assign(operator("dispatcher"), shipments, theirs)

    assert "driver" in page.context["form"].errors
    assert "Secret Driver" not in page.content.decode()
    assert ShipmentEvent.objects.filter(shipment__in=shipments, seq=2).count() == 0


def test_who_may_only_read_assigns_nobody(operator: OperatorFactory, organization: Organization) -> None:
    shipments = create_rows(organization, 1)

    _assign(operator("auditor"), shipments, factories.driver(organization))

    assert ShipmentEvent.objects.filter(shipment__in=shipments, seq=2).count() == 0


def test_a_superuser_cannot_mix_organisations(operator: OperatorFactory, organization: Organization) -> None:
    shipments = create_rows(organization, 1)
    theirs = factories.driver(factories.organization("Rival"))

    response = _assign(operator("root"), shipments, theirs)

    assert messages_of(response) == [f"{shipments[0]}: There is no such driver."]


def test_too_many_at_once_are_refused(
    operator: OperatorFactory, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_admin, "MAX_CHOSEN", 1)
    shipments = create_rows(organization, 2)

    response = _assign(operator("dispatcher"), shipments, factories.driver(organization))

    assert messages_of(response) == ["Choose at most 1 at a time."]
    assert ShipmentEvent.objects.filter(shipment__in=shipments, seq=2).count() == 0
