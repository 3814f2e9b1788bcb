"""POST /api/shipments/{reference}/pod: who received it, with pictures that nobody need fear."""

import base64
import hashlib
import io
import struct
import uuid
import zlib
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, transaction
from PIL import Image

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, ProofOfDelivery, ProofPicture, ShipmentEvent
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def picture(kind: str = "PNG", *, size: tuple[int, int] = (60, 20), mode: str = "RGB", **options: Any) -> bytes:
    target = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else None).save(target, kind, **options)
    return target.getvalue()


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def stored_picture(kind: str) -> Image.Image:
    return Image.open(io.BytesIO(bytes(ProofPicture.objects.get(kind=kind).content)))


@pytest.fixture
def path(dispatcher: Subject) -> str:
    return f"/api/shipments/{factories.booked_shipment(dispatcher, reference='SHIP-1').reference}/pod"


def test_a_signature_is_kept_with_its_hash_and_told(api: Api, path: str) -> None:
    raw = picture("PNG", mode="RGBA")

    answer = api.post(
        path, {"signerName": "Erika", "signedAt": "2026-03-02T12:00:00+01:00", "signature": encoded(raw)}
    )

    assert answer.status_code == 201
    told = answer.json()
    assert (told["signerName"], told["signedAt"], told["photo"]) == ("Erika", "2026-03-02T11:00:00Z", None)
    assert told["signature"] == {
        "mediaType": "image/png", "width": 60, "height": 20, "sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
    assert stored_picture("signature").size == (60, 20)


def test_a_form_with_files_is_as_good(api: Api, path: str) -> None:
    form = {
        "name": "Erika",
        "note": "Left at gate 4",
        "signature": SimpleUploadedFile("a.exe", picture("WEBP"), "application/x-msdownload"),
        "photo": SimpleUploadedFile("b.jpg", picture("JPEG", size=(3000, 1500)), "image/jpeg"),
    }

    answer = api._client.post(path, form, format="multipart")

    assert answer.status_code == 201
    told = answer.json()
    assert (told["signerName"], told["note"]) == ("Erika", "Left at gate 4")
    assert (told["signature"]["mediaType"], told["photo"]["width"], told["photo"]["height"]) == (
        "image/jpeg", 2000, 1000,
    )  # fmt: skip


def test_nothing_of_what_stood_beside_the_dots_is_kept(api: Api, path: str, house: Organization) -> None:
    exif = Image.Exif()
    exif[0x010E] = "52.37 N 4.89 E"
    exif[0x0112] = 6  # lies on its side
    raw = picture("JPEG", size=(40, 20), exif=exif, comment=b"secret")

    answer = api.post(path, {"signerName": "Erika", "photo": encoded(raw)})

    stored = bytes(ProofPicture.objects.get(proof__shipment__organization=house).content)
    assert answer.json()["photo"] | {"sha256": ""} == {
        "mediaType": "image/jpeg", "width": 20, "height": 40, "sha256": "",
    }  # fmt: skip
    assert (b"52.37" in raw, b"52.37" in stored, b"secret" in stored, dict(stored_picture("photo").getexif())) == (
        True, False, False, {},
    )  # fmt: skip


def bomb() -> bytes:
    """Return a PNG whose head promises 2.5 billion dots."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"GIF89a" + b"\0" * 40, "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture"),
        (b"%PDF-1.7", "not_a_picture"),
        (b"", "not_a_picture"),
        (picture("JPEG", size=(400, 400))[:300], "not_a_picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "not_a_picture"),
        (bomb(), "not_a_picture"),
        (picture("PNG") + b"\0" * (5 * 1024 * 1024), "too_large"),
    ],
    ids=["gif", "svg", "pdf", "empty", "cut", "broken", "bomb", "large"],
)
def test_what_is_no_picture_is_refused(api: Api, path: str, house: Organization, raw: bytes, code: str) -> None:
    as_json = api.post(path, {"signerName": "Erika", "signature": encoded(raw)})
    as_form = api._client.post(
        path, {"signerName": "Erika", "signature": SimpleUploadedFile("a.png", raw)}, format="multipart"
    )

    assert (as_json.status_code, field_errors(as_json)) == (400, [("signature", code)])
    assert as_form.status_code == 400
    assert ProofOfDelivery.objects.filter(shipment__organization=house).count() == 0


def test_a_proof_shows_something(api: Api, path: str) -> None:
    assert field_errors(api.post(path, {"signerName": "Erika"})) == [("signature", "required")]
    assert field_errors(api.post(path, {"signature": encoded(picture())})) == [("signerName", "required")]
    assert field_errors(api.post(path, {"signerName": "E", "signature": "?", "seq": 1})) == [
        ("seq", "unknown_field"), ("signature", "invalid"),
    ]  # fmt: skip


def test_the_future_cannot_have_been_signed(api: Api, path: str) -> None:
    body = {"signerName": "Erika", "signedAt": "2199-01-01T00:00:00Z", "photo": encoded(picture())}

    assert field_errors(api.post(path, body)) == [("signedAt", "future")]


def test_a_second_proof_takes_the_place_of_the_first_which_stays(api: Api, path: str, house: Organization) -> None:
    first = api.post(path, {"signerName": "Erika", "photo": encoded(picture())}).json()
    second = api.post(path, {"signerName": "Max", "photo": encoded(picture())}).json()

    assert (first["supersedes"], second["supersedes"]) == (None, first["id"])
    assert (first["seq"], second["seq"]) == (2, 3)
    assert ProofOfDelivery.objects.filter(shipment__organization=house).count() == 2


def test_it_is_one_event_and_one_audit_entry_without_the_signers_name_in_the_log(
    api: Api, path: str, house: Organization
) -> None:
    told = api.post(path, {"signerName": "Erika", "photo": encoded(picture())}).json()

    event = ShipmentEvent.objects.get(organization=house, type="proven")
    assert event.data == {
        "changes": {},
        "proof": {"id": told["id"], "signedAt": told["signedAt"], "supersedes": None},
    }
    entry = AuditEntry.objects.get(organization=house, action="prove")
    assert (entry.entity_id, entry.after) == ("SHIP-1", told)


def test_the_same_key_proves_once(api: Api, path: str, house: Organization) -> None:
    form = {"signerName": "Erika", "photo": encoded(picture())}

    answers = [api.post(path, form, Idempotency_Key="k") for _ in range(2)]
    other = api.post(path, form | {"signerName": "Max"}, Idempotency_Key="k")

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert (answers[1]["Idempotency-Replayed"], other.status_code) == ("true", 422)
    assert ProofOfDelivery.objects.filter(shipment__organization=house).count() == 1


def test_who_may_prove(house: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(house), factories.customer(house)
    factories.booked_shipment(dispatcher, reference="SHIP-1", driver_id=driver.pk, customer_id=customer.pk)
    body = {"signerName": "Erika", "photo": encoded(picture())}
    links: dict[str, Any] = {"customer": {"customer": customer}}

    statuses = {
        role: Api(factories.member(house, role, **links.get(role, {}))).post("/api/shipments/SHIP-1/pod", body)
        for role in ("admin", "dispatcher", "driver", "customer", "auditor")
    }
    its_driver = Api(factories.member(house, "driver", driver=driver)).post("/api/shipments/SHIP-1/pod", body)

    assert {role: answer.status_code for role, answer in statuses.items()} == {
        "admin": 201, "dispatcher": 201, "driver": 404, "customer": 403, "auditor": 403,
    }  # fmt: skip
    assert its_driver.status_code == 201


def test_a_proof_cannot_be_changed_or_removed(api: Api, path: str) -> None:
    api.post(path, {"signerName": "Erika", "photo": encoded(picture())})

    for rows in (ProofPicture.objects.all(), ProofOfDelivery.objects.all()):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows.update(id=uuid.uuid4())
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            rows._raw_delete("default")


def test_a_version_that_is_gone_is_refused(api: Api, path: str) -> None:
    answer = api.post(path, {"signerName": "E", "photo": encoded(picture())}, If_Match='"7.abc"')

    assert answer.status_code == 412
