"""The admin: access, tenancy, changes through the services, refusals as messages."""

import uuid
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from shipments.models import (
    AuditEntry,
    Organization,
    Shipment,
    ShipmentEvent,
)
from tests import factories
from tests.shipments.admin.operators import OperatorFactory, create_rows, messages_of

pytestmark = pytest.mark.django_db
PAGES = (
    "shipment",
    "driver",
    "customer",
    "location",
    "user",
    "apikey",
    "organization",
    "shipmentevent",
    "auditentry",
    "trackinglink",
)


def _form(shipment: Shipment | None = None, **fields: Any) -> dict[str, Any]:
    """Return what the browser posts: the form as shown, with some fields changed."""
    fields_shown: dict[str, Any] = {"references": "{}", "origin_code": "NLRTM", "destination_code": "DEHAM"}
    if shipment is None:
        fields_shown |= {"reference": "", "start": "booked"}
    else:
        fields_shown |= {
            "version_read": shipment.seq,
            "customer": shipment.customer_id or "",
            "driver": shipment.driver_id or "",
            "notes": shipment.notes,
        }
    return fields_shown | fields


# -- access ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/shipments/shipment/", "/admin/nowhere/"])
def test_outside_the_allowed_networks_there_is_no_admin(
    operator: OperatorFactory, settings: Settings, path: str
) -> None:
    settings.ADMIN_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]

    assert operator("root").get(path).status_code == 404


def test_an_anonymous_visitor_is_redirected_to_the_login_page() -> None:
    response = Client().get("/admin/", follow=True)

    assert response.redirect_chain[-1][0].startswith("/login?next=/admin/")


def test_a_member_who_is_no_staff_gets_404(operator: OperatorFactory) -> None:
    response = operator("admin", staff=False).get("/admin/", follow=True)

    assert response.status_code == 404


@pytest.mark.parametrize("page", PAGES)
def test_every_list_opens_with_few_queries_whatever_it_holds(
    operator: OperatorFactory,
    organization: Organization,
    page: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    create_rows(organization, 5)
    client = operator("root")

    with django_assert_max_num_queries(9):
        response = client.get(f"/admin/shipments/{page}/")

    assert response.status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_every_row_and_every_search_opens(operator: OperatorFactory, organization: Organization, page: str) -> None:
    create_rows(organization, 1)
    for client in (operator("root"), operator("admin")):
        listed = client.get(f"/admin/shipments/{page}/?q=a")
        assert listed.status_code == 200
        row = client.get(f"/admin/shipments/{page}/").context["cl"].result_list[0]

        assert client.get(f"/admin/shipments/{page}/{row.pk}/change/").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_staff_see_their_own_organisation_alone(
    operator: OperatorFactory, organization: Organization, page: str
) -> None:
    other = factories.organization("Rival Freight")
    create_rows(other, 1)
    create_rows(organization, 1)

    rows = operator("admin").get(f"/admin/shipments/{page}/").context["cl"].result_list

    owners = {getattr(getattr(row, "membership", row), "organization_id", organization.pk) for row in rows}
    assert owners <= {None, organization.pk}  # shared places have no organisation


@pytest.mark.parametrize(
    ("role", "hidden"),
    [("dispatcher", {"user", "apikey", "auditentry"}), ("auditor", {"user", "apikey"}), ("admin", set())],
)
def test_a_role_opens_what_it_may_read(operator: OperatorFactory, role: str, hidden: set[str]) -> None:
    client = operator(role)

    refused = {page for page in PAGES if client.get(f"/admin/shipments/{page}/").status_code == 403}

    assert refused == hidden


def test_an_auditor_changes_nothing(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("auditor").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, notes="x")
    )

    assert response.status_code == 403


# -- shipments --------------------------------------------------------------------------------------------


def test_a_change_goes_through_the_service(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, pieces="12", notes="Ring twice")
    )

    assert response.status_code == 302
    shipment.refresh_from_db()
    assert (shipment.pieces, shipment.notes, shipment.seq) == (12, "Ring twice", 2)
    assert ShipmentEvent.objects.filter(shipment=shipment).count() == 2
    entry = AuditEntry.objects.filter(action="update", entity_id=shipment.reference).latest("id")
    assert (entry.actor_name, entry.address) == ("Dispatcher", "127.0.0.1")


def test_a_shipment_is_advanced_where_the_lifecycle_allows(
    operator: OperatorFactory, organization: Organization
) -> None:
    [shipment] = create_rows(organization, 1)

    operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, move_to="dispatched", reason="ready")
    )

    shipment.refresh_from_db()
    assert (shipment.status, shipment.seq) == ("dispatched", 2)


def test_a_state_that_cannot_follow_is_no_choice(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, move_to="delivered")
    )

    assert response.status_code == 200
    assert "move_to" in response.context["adminform"].form.errors


def test_a_stale_change_is_refused_as_a_message(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, pieces="12", version_read=0)
    )

    assert response.status_code == 302
    assert messages_of(response) == ["The shipment has changed since you read it."]
    assert Shipment.objects.get(pk=shipment.pk).pieces is None


def test_a_form_of_another_history_is_refused_as_a_message(
    operator: OperatorFactory, organization: Organization
) -> None:
    [shipment] = create_rows(organization, 1)
    client, path = operator("dispatcher"), f"/admin/shipments/shipment/{shipment.pk}/change/"
    with transaction.atomic():
        client.post(path, _form(shipment, pieces="11", version_read=shipment.seq))
        shown = client.get(path).context["adminform"].form.initial["version_read"]
        transaction.set_rollback(True)  # as a restore of a backup made before
    client.post(path, _form(shipment, pieces="902", version_read=shipment.seq))

    response = client.post(path, _form(shipment, pieces="12", version_read=shown))

    assert messages_of(response)[-1] == "The shipment has changed since you read it."
    assert Shipment.objects.get(pk=shipment.pk).pieces == 902


def test_an_unknown_place_is_refused_as_a_message(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, origin_code="XXXXX")
    )

    assert messages_of(response) == ["There is no UN/LOCODE 'XXXXX'."]


def test_another_organisations_customer_is_no_choice(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)
    theirs = factories.customer(factories.organization(), "Secret Customer")

    response = operator("dispatcher").post(
        f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, customer=str(theirs.pk))
    )

    assert "customer" in response.context["adminform"].form.errors
    assert b"Secret Customer" not in response.content


def test_a_shipment_is_booked(operator: OperatorFactory, organization: Organization) -> None:
    create_rows(organization, 1)

    operator("dispatcher").post("/admin/shipments/shipment/add/", _form(reference="ADM-1"))

    shipment = Shipment.objects.get(organization=organization, reference="ADM-1")
    assert (shipment.status, shipment.seq) == ("booked", 1)


def test_a_reference_is_given_once(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        "/admin/shipments/shipment/add/", _form(reference=shipment.reference.lower())
    )

    assert messages_of(response) == [f"There is a shipment {shipment.reference.lower()} already."]


def test_a_superuser_acts_anywhere_under_its_own_name(
    operator: OperatorFactory, organization: Organization
) -> None:
    [shipment] = create_rows(organization, 1)
    root = operator("root")

    root.post(f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, pieces="7"))
    root.post("/admin/shipments/shipment/add/", _form(reference="ROOT-1", organization=str(organization.pk)))

    assert Shipment.objects.get(pk=shipment.pk).pieces == 7
    entry = AuditEntry.objects.get(action="create", entity_id="ROOT-1")
    assert (entry.organization_id, entry.actor_role, entry.actor_name) == (organization.pk, "superuser", "Root")


@pytest.mark.parametrize("role", ["admin", "dispatcher", "root"])
def test_the_log_names_the_person_who_acts_in_the_admin(
    operator: OperatorFactory, organization: Organization, role: str
) -> None:
    [shipment] = create_rows(organization, 1)
    client = operator(role)
    person = uuid.UUID(client.session["_auth_user_id"])

    client.post(f"/admin/shipments/shipment/{shipment.pk}/change/", _form(shipment, pieces="7"))

    event = ShipmentEvent.objects.get(shipment=shipment, seq=2)
    assert (event.actor_role, event.actor_id) == ("superuser" if role == "root" else role, person)


def test_drafts_are_discarded_and_the_rest_is_refused(
    operator: OperatorFactory, organization: Organization
) -> None:
    by = factories.member(organization, "admin")
    draft, moving = factories.booked_shipment(by, status="draft"), factories.booked_shipment(by)

    response = operator("dispatcher").post(
        "/admin/shipments/shipment/",
        {"action": "discard", "_selected_action": [str(draft.pk), str(moving.pk)]},
    )

    assert not Shipment.objects.not_deleted().filter(pk=draft.pk).exists()
    assert sorted(messages_of(response)) == sorted(
        ["1 discarded.", f"{moving}: The shipment is booked; only a draft can be deleted. Cancel it."]
    )


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_deleted_by_the_admin_itself(
    operator: OperatorFactory, organization: Organization, page: str
) -> None:
    create_rows(organization, 1)
    client = operator("root")
    row = client.get(f"/admin/shipments/{page}/").context["cl"].result_list[0]

    assert client.post(f"/admin/shipments/{page}/{row.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("page", ["shipmentevent", "auditentry", "location", "apikey"])
def test_records_are_only_shown(operator: OperatorFactory, organization: Organization, page: str) -> None:
    create_rows(organization, 1)
    client = operator("root")
    row = client.get(f"/admin/shipments/{page}/").context["cl"].result_list[0]

    assert client.get(f"/admin/shipments/{page}/add/").status_code == 403
    assert client.post(f"/admin/shipments/{page}/{row.pk}/change/", {}).status_code == 403
