"""Names are one, whatever the form in which they come: composed or not, with other spaces, in capitals."""

import unicodedata
from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.domain import names
from shipments.models import Customer, Driver, Organization
from shipments.services.shipments.imports import ImportRow, import_rows
from shipments.services.shipments.places import Place
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
NFC, NFD = (unicodedata.normalize(form, "Größe Überland") for form in ("NFC", "NFD"))
FORMS = [
    NFC,
    NFD,
    NFC.replace(" ", "  "),
    NFC.replace(" ", "\u00a0"),
    NFC.replace(" ", "\u3000"),
    NFC.upper(),
    f" {NFD} ",
]


@pytest.mark.parametrize("path", ["/api/customers", "/api/drivers"])
def test_a_name_is_stored_composed_and_with_single_spaces(api: Api, path: str) -> None:
    made = api.post(path, {"name": f" {NFD.replace(' ', chr(0xA0) * 2)} "}).json()
    renamed = api.patch(f"{path}/{made['id']}", {"name": NFD}).json()

    assert (made["name"], renamed["name"]) == (NFC, NFC)


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("stored", [NFC, NFD, "GRO\u0308SSE\u00a0 Überland"])
def test_a_name_is_found_in_every_form(
    api: Api, organization: Organization, dispatcher: Subject, stored: str, text: str
) -> None:
    """Also one that was stored before names had one form."""
    customer = Customer.objects.create(organization=organization, name=stored, created_at=NOW, updated_at=NOW)
    Driver.objects.create(organization=organization, name=stored, created_at=NOW, updated_at=NOW)
    factories.booked_shipment(dispatcher, reference="A-1", customer_id=customer.pk)
    row = {"origin": "NLRTM", "destination": "DEHAM", "customer": text, "driverName": text}

    [imported] = import_rows(by=dispatcher, now=NOW, rows=[ImportRow(1, "NEW", row)], dry_run=True)

    assert (imported.outcome, imported.errors) == ("created", [])
    for path, query in (("/api/customers", text), ("/api/drivers", text.strip()[:5]), ("/api/shipments", text)):
        assert len(api.get(path, {"q": query}).json()["results"]) == 1, path


@pytest.mark.parametrize("text", FORMS)
def test_a_place_is_one_in_every_form(api: Api, organization: Organization, dispatcher: Subject, text: str) -> None:
    place: Any = {"name": NFD, "country": "DE"}
    first = api.post("/api/shipments", {"origin": place, "destination": "DEHAM"}).json()
    row = {"origin": Place(names.normalize(text), "DE"), "destination": "DEHAM"}

    [imported] = import_rows(by=dispatcher, now=NOW, rows=[ImportRow(1, first["reference"], row)], dry_run=True)

    assert (first["origin"]["name"], imported.outcome) == (NFC, "unchanged")


@pytest.mark.parametrize("text", ["NL RTM", "nl rtm", "NL\u00a0RTM", "nlrtm"])
def test_a_code_is_taken_as_it_is_printed(api: Api, text: str) -> None:
    made = api.post("/api/shipments", {"reference": "A-1", "origin": text, "destination": {"locode": text}})
    api.post("/api/shipments/bulk", {"items": [
        {"op": "create", "reference": "A-2", "origin": text, "destination": "DEHAM"},
    ]})  # fmt: skip

    assert made.status_code == 201
    assert made.json()["origin"]["locode"] == made.json()["destination"]["locode"] == "NLRTM"
    for query in ({"origin": text}, {"q": text}):
        found = api.get("/api/shipments", query).json()["results"]
        assert sorted(each["reference"] for each in found) == ["A-1", "A-2"], query


@pytest.mark.parametrize("text", ["N LRTM", "NLR TM", "NL  RTM", "NL-RTM", "NL RT"])
def test_what_is_no_code_is_refused(api: Api, text: str) -> None:
    assert api.post("/api/shipments", {"origin": text, "destination": "DEHAM"}).status_code == 400
