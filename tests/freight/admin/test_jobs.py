"""Exports, imports and runs in the admin: read only, each organisation's own, with the names of owners."""

import uuid

import pytest
from django.test import Client

from exports.models import Export, Import, Run
from shipments.models import Organization, User
from tests import factories
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.django_db
PAGES = ("export", "import", "run")


def _jobs(organization: Organization) -> dict[str, uuid.UUID]:
    """Store one of each kind and return their ids by page."""
    owner = present(factories.member(organization, "dispatcher").user_id)
    job = {"organization_id": organization.pk, "owner_id": owner, "created_at": NOW}
    return {
        "export": Export.objects.create(**job, report="shipments", format="csv").pk,
        "import": Import.objects.create(**job, filename="a.csv", kind="csv", size=1, sha256="0" * 64, header=[]).pk,
        "run": Run.objects.create(
            organization_id=organization.pk, report="bol", format="pdf", started_at=NOW, seen_at=NOW
        ).pk,
    }


def _operator(organization: Organization | None, role: str = "admin") -> Client:
    user = (
        factories.user(organization, role)
        if organization
        else User.objects.create_superuser(f"{uuid.uuid4()}@example.test")
    )
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("page", PAGES)
def test_staff_see_their_own_organisations_jobs_and_superusers_all(page: str) -> None:
    organization = factories.organization()
    own, theirs = _jobs(organization)[page], _jobs(factories.organization("Rival"))[page]

    def listed(client: Client) -> set[uuid.UUID]:
        return {each.pk for each in client.get(f"/admin/exports/{page}/").context["cl"].result_list}

    assert listed(_operator(organization)) == {own}
    assert listed(_operator(None)) >= {own, theirs}
    assert _operator(organization).get(f"/admin/exports/{page}/{theirs}/change/").status_code == 302
    assert _operator(organization, "dispatcher").get(f"/admin/exports/{page}/").status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_jobs_are_only_shown(page: str) -> None:
    organization = factories.organization()
    key = _jobs(organization)[page]
    client = _operator(None)

    shown = client.get(f"/admin/exports/{page}/{key}/change/")

    assert shown.status_code == 200
    assert b'name="_save"' not in shown.content
    for path in ("add/", f"{key}/change/", f"{key}/delete/"):
        assert client.post(f"/admin/exports/{page}/{path}", {}).status_code == 403


def test_a_job_names_its_owner_and_organisation() -> None:
    organization = factories.organization("Readable Freight")
    _jobs(organization)
    owner = User.objects.get(membership__organization=organization)

    page = _operator(None).get("/admin/exports/export/").content.decode()

    assert owner.email in page
    assert "Readable Freight" in page
