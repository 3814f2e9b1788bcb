"""POST /api/shipments/{reference}/pod: who received it; every picture is decoded and encoded anew."""

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


def test_a_signature_is_stored_and_returned_with_its_hash(api: Api, path: str) -> None:
    raw = picture("PNG", mode="RGBA")

    answer = api.post(
        path, {"signerName": "Erika", "signedAt": "2026-03-02T12:00:00+01:00", "signature": encoded(raw)}
    )

    assert answer.status_code == 201
    proof = answer.json()
    assert (proof["signerName"], proof["signedAt"], proof["photo"]) == ("Erika", "2026-03-02T11:00:00Z", None)
    assert proof["signature"] == {
        "mediaType": "image/png", "width": 60, "height": 20, "sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
    assert stored_picture("signature").size == (60, 20)


def test_a_form_with_files_is_accepted(api: Api, path: str) -> None:
    form = {
        "name": "Erika",
        "note": "Left at gate 4",
        "signature": SimpleUploadedFile("a.exe", picture("WEBP"), "application/x-msdownload"),
        "photo": SimpleUploadedFile("b.jpg", picture("JPEG", size=(3000, 1500)), "image/jpeg"),
    }

    answer = api._client.post(path, form, format="multipart")

    assert answer.status_code == 201
    proof = answer.json()
    assert (proof["signerName"], proof["note"]) == ("Erika", "Left at gate 4")
    assert (proof["signature"]["mediaType"], proof["photo"]["width"], proof["photo"]["height"]) == (
        "image/jpeg", 2000, 1000,
    )  # fmt: skip


def test_json_with_pictures_may_exceed_one_mebibyte(api: Api, path: str) -> None:
    target = io.BytesIO()
    Image.effect_noise((1200, 1200), 100).save(target, "PNG")
    body = {"signerName": "Erika", "photo": encoded(target.getvalue())}

    answer = api.post(path, body)

    assert len(body["photo"]) > 1024 * 1024
    assert answer.status_code == 201


def test_metadata_of_a_picture_is_removed(api: Api, path: str, organization: Organization) -> None:
    exif = Image.Exif()
    exif[0x010E] = "52.37 N 4.89 E"
    exif[0x0112] = 6  # rotated by 90 degrees
    raw = picture("JPEG", size=(40, 20), exif=exif, comment=b"secret")

    answer = api.post(path, {"signerName": "Erika", "photo": encoded(raw)})

    stored = bytes(ProofPicture.objects.get(proof__shipment__organization=organization).content)
    assert answer.json()["photo"] | {"sha256": ""} == {
        "mediaType": "image/jpeg", "width": 20, "height": 40, "sha256": "",
    }  # fmt: skip
    assert (b"52.37" in raw, b"52.37" in stored, b"secret" in stored, dict(stored_picture("photo").getexif())) == (
        True, False, False, {},
    )  # fmt: skip


def bomb() -> bytes:
    """Return a decompression bomb: a PNG whose header announces 2.5 billion pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


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
def test_an_invalid_picture_is_refused(
    api: Api, path: str, organization: Organization, raw: bytes, code: str
) -> None:
    as_json = api.post(path, {"signerName": "Erika", "signature": encoded(raw)})
    as_form = api._client.post(
        path, {"signerName": "Erika", "signature": SimpleUploadedFile("a.png", raw)}, format="multipart"
    )

    assert (as_json.status_code, field_errors(as_json)) == (400, [("signature", code)])
    assert as_form.status_code == 400
    assert ProofOfDelivery.objects.filter(shipment__organization=organization).count() == 0


def test_a_proof_needs_a_signer_and_a_picture(api: Api, path: str) -> None:
    assert field_errors(api.post(path, {"signerName": "Erika"})) == [("signature", "required")]
    assert field_errors(api.post(path, {"signature": encoded(picture())})) == [("signerName", "required")]
    assert field_errors(api.post(path, {"signerName": "E", "signature": "?", "seq": 1})) == [
        ("seq", "unknown_field"), ("signature", "invalid"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "code"), [("2199-01-01T00:00:00Z", "future"), ("1970-01-01T00:00:00Z", "too_early")]
)
def test_a_signing_time_that_cannot_be_is_refused(api: Api, path: str, at: str, code: str) -> None:
    body = {"signerName": "Erika", "signedAt": at, "photo": encoded(picture())}

    assert field_errors(api.post(path, body)) == [("signedAt", code)]


def test_a_second_proof_supersedes_the_first_which_stays(api: Api, path: str, organization: Organization) -> None:
    first = api.post(path, {"signerName": "Erika", "photo": encoded(picture())}).json()
    second = api.post(path, {"signerName": "Max", "photo": encoded(picture())}).json()

    assert (first["supersedes"], second["supersedes"]) == (None, first["id"])
    assert (first["seq"], second["seq"]) == (2, 3)
    assert ProofOfDelivery.objects.filter(shipment__organization=organization).count() == 2


def test_a_proof_writes_one_event_without_the_signer_and_one_audit_entry(
    api: Api, path: str, organization: Organization
) -> None:
    proof = api.post(path, {"signerName": "Erika", "photo": encoded(picture())}).json()

    event = ShipmentEvent.objects.get(organization=organization, type="proven")
    assert event.data == {
        "changes": {},
        "proof": {"id": proof["id"], "signedAt": proof["signedAt"], "supersedes": None},
    }
    entry = AuditEntry.objects.get(organization=organization, action="prove")
    assert (entry.entity_id, entry.after) == ("SHIP-1", proof)


def test_a_repeated_key_stores_one_proof(api: Api, path: str, organization: Organization) -> None:
    form = {"signerName": "Erika", "photo": encoded(picture())}

    answers = [api.post(path, form, Idempotency_Key="k") for _ in range(2)]
    other = api.post(path, form | {"signerName": "Max"}, Idempotency_Key="k")

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert (answers[1]["Idempotency-Replayed"], other.status_code) == ("true", 422)
    assert ProofOfDelivery.objects.filter(shipment__organization=organization).count() == 1


def test_which_roles_prove_delivery(organization: Organization, dispatcher: Subject) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    factories.booked_shipment(dispatcher, reference="SHIP-1", driver_id=driver.pk, customer_id=customer.pk)
    body = {"signerName": "Erika", "photo": encoded(picture())}
    links: dict[str, Any] = {"customer": {"customer": customer}}

    responses = {
        role: Api(factories.member(organization, role, **links.get(role, {}))).post(
            "/api/shipments/SHIP-1/pod", body
        )
        for role in ("admin", "dispatcher", "driver", "customer", "auditor")
    }
    its_driver = Api(factories.member(organization, "driver", driver=driver)).post(
        "/api/shipments/SHIP-1/pod", body
    )

    assert {role: answer.status_code for role, answer in responses.items()} == {
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


def test_a_stale_etag_is_412(api: Api, path: str) -> None:
    answer = api.post(path, {"signerName": "E", "photo": encoded(picture())}, If_Match='"7.abc"')

    assert answer.status_code == 412
