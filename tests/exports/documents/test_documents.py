"""GET /api/shipments/{reference}/documents/*.pdf: documents of a shipment, for every subject that may read it."""

import io
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from PIL import Image

from exports.documents import shipment_documents
from exports.pdf import barcodes, libraries
from exports.pdf.cache import pdf_cache
from shipments import services
from shipments.auth.subjects import Subject
from shipments.domain import pictures
from shipments.models import AuditEntry, Organization, Shipment
from tests import factories
from tests.exports import pdf_reader
from tests.exports.export_client import File, fetch_file, token
from tests.factories import NOW

pytestmark = pytest.mark.usefixtures("committed")
NASTY = "<img src=http://127.0.0.1:9/x> {{ organisation }}"


@pytest.fixture
def shipment(organization: Organization, dispatcher: Subject) -> Shipment:
    return factories.booked_shipment(
        dispatcher, reference="SHIP-1", driver_id=factories.driver(organization).pk,
        customer_id=factories.customer(organization, NASTY).pk, pieces=12, weight_kg=Decimal("1240.500"),
        volume_m3=Decimal("3.2"), references={"po": "4500012345", "bol": "MAEU123456789"}, notes="Ring at gate 4.",
        planned_pickup_at=NOW, planned_delivery_at=NOW + timedelta(days=3),
    )  # fmt: skip


def document(subject: Subject | None, kind: str, reference: str = "SHIP-1") -> File:
    headers = {"Authorization": f"Bearer {token(subject, scopes=('shipments:read',))}"} if subject else {}
    return fetch_file(None, path=f"/api/shipments/{reference}/documents/{kind}.pdf", headers=headers)


def store_proof(by: Subject, signer: str = "Erika Mustermann", *, kinds: tuple[str, ...] = ("signature",)) -> None:
    target = io.BytesIO()
    Image.new("RGB", (300, 100), (200, 30, 30)).save(target, "PNG")
    services.record_proof_of_delivery(
        by=by, now=NOW, reference="SHIP-1", signer_name=signer, note="Left at gate 4",
        pictures={kind: pictures.clean(target.getvalue()) for kind in kinds},
    )  # fmt: skip


def test_a_bill_of_lading_has_parties_route_goods_and_references(dispatcher: Subject, shipment: Shipment) -> None:
    file = document(dispatcher, "bol")

    page_text = pdf_reader.text(file.body)
    assert (file.status, file.headers["Content-Disposition"]) == (200, 'inline; filename="SHIP-1-bol.pdf"')
    for words in (
        "Bill of lading MAEU123456789", "Acme Freight", "Dana Driver", "+31 6 1234 5678", NASTY, "Rotterdam",
        "NL · NLRTM", "Hamburg", "DE · DEHAM", "2026-03-02 12:00 UTC", "2026-03-05 12:00 UTC", "1,240.5 kg",
        "3.2 m³", "PO 4500012345", "Ring at gate 4.", shipment_documents.sscc(shipment.pk), "Page 1 of 1",
    ):  # fmt: skip
        assert words in page_text


def test_a_bill_of_lading_for_a_customer_has_no_phone_and_no_notes(
    organization: Organization, shipment: Shipment
) -> None:
    customer = factories.member(organization, "customer", customer=shipment.customer)

    page_text = pdf_reader.text(document(customer, "bol").body)

    assert ("Dana Driver" in page_text, "+31 6" in page_text, "gate 4" in page_text) == (True, False, False)


def test_a_label_is_four_by_six_inches_with_its_barcodes(dispatcher: Subject, shipment: Shipment) -> None:
    file = document(dispatcher, "label")

    with pdf_reader.open_pdf(file.body) as label:
        assert [float(number) for number in label.pages[0].MediaBox] == [0, 0, 288, 432]
        assert len(label.pages) == 1
    page_text = pdf_reader.text(file.body)
    for words in (
        "DEHAM",
        "Hamburg",
        "SHIP-1",
        f"(00) {shipment_documents.sscc(shipment.pk)}",
        "12",
        "1,240.5 kg",
        "2026-03-05 12:00 UTC",
    ):
        assert words in page_text
    assert {embedded for _, embedded in pdf_reader.fonts(file.body)} == {True}


def test_a_label_with_long_names_stays_on_one_page(organization: Organization, dispatcher: Subject) -> None:
    Organization.objects.filter(pk=organization.pk).update(name="Acme Freight " + "Kraftwagenspedition" * 4)
    place = factories.location("DEZZZ", "Niederoberunterbergkirchenhausen am See " * 2, "DE", 50.0, 10.0)
    customer = factories.customer(organization, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk" * 2)
    factories.booked_shipment(
        dispatcher, reference="SHIP-1", destination=place.locode, planned_pickup_at=NOW, customer_id=customer.pk
    )

    [page] = pdf_reader.pages(document(dispatcher, "label").body)

    shipment = Shipment.objects.get(organization=organization)
    assert (f"(00) {shipment_documents.sscc(shipment.pk)}" in page, "2026-03-02 UTC" in page) == (True, True)


def test_an_sscc_has_a_check_digit_and_is_stable() -> None:
    number = barcodes.demo_sscc(uuid.UUID(int=1))

    assert (len(number), number[1:3], number) == (18, "04", barcodes.demo_sscc(uuid.UUID(int=1)))
    assert sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(number)) % 10 == 0
    # The example of GS1's page on check digits.
    assert barcodes.check_digit("37610425002123456") == "9"


def test_a_company_prefix_assigns_serials_once(committed: None, settings: Any) -> None:
    settings.GS1_COMPANY_PREFIX = "7610425"
    first, second = uuid.uuid4(), uuid.uuid4()

    numbers = [shipment_documents.sscc(first), shipment_documents.sscc(second), shipment_documents.sscc(first)]

    serials = [int(number[0] + number[8:17]) for number in numbers]
    assert {number[1:8] for number in numbers} == {"7610425"}
    assert (serials[0], serials[1] > serials[0]) == (serials[2], True)
    # Extension digit and serial are one counter, which wraps around.
    assert barcodes.sscc("7610425", 10_002_123_456)[:17] == "0" + "7610425" + "002123456"


def test_a_label_under_the_demo_prefix_says_so(dispatcher: Subject, shipment: Shipment, settings: Any) -> None:
    demo = pdf_reader.text(document(dispatcher, "label").body)
    settings.GS1_COMPANY_PREFIX = "7610425"
    own = pdf_reader.text(document(dispatcher, "label").body)

    assert ("demo prefix" in demo, "demo prefix" in own) == (True, False)
    assert f"(00) {shipment_documents.sscc(shipment.pk)}" in own


def test_a_proof_of_delivery_shows_signer_and_pictures(dispatcher: Subject, shipment: Shipment) -> None:
    store_proof(dispatcher, kinds=("signature", "photo"))

    content = document(dispatcher, "pod").body

    page_text = pdf_reader.text(content)
    for words in ("Proof of delivery", "Erika Mustermann", "2026-03-02 12:00 UTC", "Left at gate 4", "PHOTO"):
        assert words in page_text
    assert sum(pixel[0] > 150 > 80 > pixel[1] for pixel in pdf_reader.pixels(content)) > 1000


def test_the_latest_proof_of_delivery_is_shown(dispatcher: Subject, shipment: Shipment) -> None:
    store_proof(dispatcher)
    first = pdf_reader.text(document(dispatcher, "pod").body)
    store_proof(dispatcher, "Max")

    second = pdf_reader.text(document(dispatcher, "pod").body)

    assert ("Erika Mustermann" in first, "Erika Mustermann" in second, "Max" in second) == (True, False, True)


def test_without_a_proof_of_delivery_it_is_a_404(dispatcher: Subject, shipment: Shipment) -> None:
    file = document(dispatcher, "pod")

    assert (file.status, orjson.loads(file.body)["detail"]) == (404, "SHIP-1 has no proof of delivery yet.")


def test_each_document_is_audited(organization: Organization, dispatcher: Subject, shipment: Shipment) -> None:
    file = document(dispatcher, "label")

    [entry] = AuditEntry.objects.filter(organization=organization, action="document")
    assert (entry.entity, entry.entity_id, entry.actor_id) == ("shipment", "SHIP-1", dispatcher.user_id)
    assert entry.after == {"document": "label", "seq": 1, "bytes": len(file.body)}


def test_a_document_is_cached_until_the_shipment_changes(dispatcher: Subject, shipment: Shipment) -> None:
    hits = pdf_cache.stats.hits

    bodies = [document(dispatcher, "bol").body for _ in range(2)]
    services.amend(by=dispatcher, now=NOW, reference="SHIP-1", changes={"pieces": 13})
    after = document(dispatcher, "bol").body

    assert (bodies[0] == bodies[1], pdf_cache.stats.hits) == (True, hits + 1)
    assert " 13 " in pdf_reader.text(after)


@pytest.mark.parametrize("kind", ["bol", "label", "pod"])
def test_a_hidden_shipment_is_the_same_404_as_a_missing_one(
    organization: Organization, shipment: Shipment, kind: str
) -> None:
    rival = factories.member(factories.organization("Rival"), "admin")

    def problem(file: File) -> Any:
        body = orjson.loads(file.body)
        return file.status, {name: body[name] for name in ("code", "detail")}

    answers = [problem(document(factories.member(organization, role), kind)) for role in ("driver", "customer")]
    answers.append(problem(document(rival, kind)))
    answers += [problem(document(rival, kind, name)) for name in ("NOBODYS", "a%00b", "%F0%9F%9A%9A")]

    assert answers == [(404, {"code": "not_found", "detail": "There is no such shipment."})] * 6
    assert document(None, kind).status == 401


def test_its_driver_and_its_customer_may_read_documents(organization: Organization, shipment: Shipment) -> None:
    driver = factories.member(organization, "driver", driver=shipment.driver)
    customer = factories.member(organization, "customer", customer=shipment.customer)

    assert [document(subject, "label").status for subject in (driver, customer)] == [200, 200]


@pytest.mark.parametrize("path", ["invoice.pdf", "bol.html", "bol.pdf/", "../bol.pdf", "%00.pdf"])
def test_other_documents_are_a_404(dispatcher: Subject, shipment: Shipment, path: str) -> None:
    headers = {"Authorization": f"Bearer {token(dispatcher, scopes=('shipments:read',))}"}

    assert fetch_file(None, path=f"/api/shipments/SHIP-1/documents/{path}", headers=headers).status == 404


def test_without_the_libraries_it_is_a_503_with_the_remedy(
    dispatcher: Subject, shipment: Shipment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "present", lambda: False)

    file = document(dispatcher, "label")

    assert file.status == 503
    assert "apt-get install libpango-1.0-0" in orjson.loads(file.body)["detail"]
