"""Documents of one shipment as PDF: bill of lading, shipping label, proof of delivery. Cached by content."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection

from exports.models import LogisticUnit
from exports.pdf import barcodes, cache, chart, rendering, report_layout
from shipments.auth.subjects import Subject
from shipments.caching.service import STAMP_BYTES
from shipments.domain import other_references
from shipments.selectors import documents
from shipments.selectors.documents import DocumentShipment

Context = dict[str, Any]
KINDS: Final = ("bol", "label", "pod")
_BLANK: Final = "–"
# The width that the templates have for barcodes.
_LABEL_BARCODE_MM: Final = 88.9
_BOL_BARCODE_MM: Final = 72.0
_TITLES: Final = {"signature": "Signature", "photo": "Photo"}


class ProofOfDeliveryMissing(Exception):
    """The shipment has no proof of delivery."""


def render(source: DocumentShipment, kind: str, *, by: Subject) -> bytes:
    """Return the document as PDF, from the cache where the same content was drawn before.

    `kind` is one of `KINDS`. Closes the database connection while a renderer draws, except in a transaction. Raises
    ProofOfDeliveryMissing, ServerBusy, PDFUnavailable.
    """
    rendering.require_libraries()
    context, proof_id = _context(source, kind)
    stamp = hashlib.blake2b(
        orjson.dumps([kind, context, cache.code_fingerprint()]), digest_size=STAMP_BYTES
    ).digest()

    def make() -> bytes:
        pictures = documents.proof_pictures(proof_id) if proof_id else {}
        if not connection.in_atomic_block:
            connection.close()  # drawing takes long and needs none
        return rendering.render_document(f"{kind}.html", context, pictures, tenant=by.organization_id)

    if connection.in_atomic_block:
        return make()  # uncommitted content must not reach the cache
    return cache.pdf_cache.get_or_set_stamped(f"export-pdf:{source.id}:{kind}:{by.variant}", stamp, make)


def _context(source: DocumentShipment, kind: str) -> tuple[Context, uuid.UUID | None]:
    """Return the template context, and the id of the proof of delivery whose pictures it shows."""
    shared = _shared_context(source)
    if kind == "label":
        return shared | _label_context(source, shared["sscc"]), None
    if kind == "bol":
        return shared | _bill_of_lading_context(source), None
    proof = documents.current_proof(source.id)
    if proof is None:
        raise ProofOfDeliveryMissing
    return shared | _proof_context(source, proof), uuid.UUID(proof["id"])


def _shared_context(source: DocumentShipment) -> Context:
    shipment = source.shipment
    return {
        "organisation": source.organization_name,
        "reference": shipment["reference"],
        "origin": shipment["origin"] | {"address": _address(shipment["origin"])},
        "destination": shipment["destination"] | {"address": _address(shipment["destination"])},
        "customer": (shipment["customer"] or {}).get("name", ""),
        "driver": (shipment["driver"] or {}).get("name", ""),
        "pieces": _number(shipment["pieces"]),
        "weight": _number(shipment["weightKg"], "kg"),
        "volume": _number(shipment["volumeM3"], "m³"),
        "sscc": sscc(source.id),
        "ownPrefix": bool(settings.GS1_COMPANY_PREFIX),
        # No time of drawing: the same content must give the same file.
        "foot": f"{shipment['reference']} · state {shipment['seq']} of {_instant(shipment['updatedAt'])}",
    }


def _address(place: Mapping[str, Any]) -> list[str]:
    """Return the lines of a place between its name and its country."""
    town = " ".join(place[part] for part in ("postcode", "city", "state") if part in place)
    return [line for line in (place.get("facility"), place.get("street"), town) if line]


def sscc(shipment_id: uuid.UUID) -> str:
    """Return the shipment's SSCC; with `GS1_COMPANY_PREFIX` set, its serial is assigned once and stored."""
    prefix = settings.GS1_COMPANY_PREFIX
    if not prefix:
        return barcodes.demo_sscc(shipment_id)
    unit, _ = LogisticUnit.objects.get_or_create(shipment_id=shipment_id)
    return barcodes.sscc(prefix, unit.serial)


def _label_context(source: DocumentShipment, code: str) -> Context:
    shipment = source.shipment
    element = f"00{code}"
    return {
        "date": _date(shipment["plannedPickupAt"] or shipment["createdAt"]),
        "deliverBy": _instant(shipment["plannedDeliveryAt"] or shipment["eta"]),
        **_reference_code(shipment["reference"], available=_LABEL_BARCODE_MM),
        "qr": asdict(barcodes.qr(element)),
        "ssccBars": _linear(barcodes.gs1_128(element), available=_LABEL_BARCODE_MM),
    }


def _bill_of_lading_context(source: DocumentShipment) -> Context:
    shipment = source.shipment
    references = [
        (name.upper(), ", ".join(other_references.texts_of(value)))
        for name, value in sorted(shipment["references"].items())
    ]
    return {
        "number": other_references.texts_of(shipment["references"].get("bol", shipment["reference"]))[0],
        "date": _date(shipment["plannedPickupAt"] or shipment["createdAt"]),
        "pickup": _instant(shipment["plannedPickupAt"]),
        "delivery": _instant(shipment["plannedDeliveryAt"]),
        "driverPhone": (shipment["driver"] or {}).get("phone", ""),
        "references": references,
        "notes": shipment.get("notes", ""),
        **_reference_code(shipment["reference"], available=_BOL_BARCODE_MM),
    }


def _reference_code(reference: str, *, available: float) -> Context:
    """Return the bars of the reference, or a QR code where they would be too narrow to be read."""
    bars = _linear(barcodes.code_128(reference), available=available)
    return {"bars": bars, "referenceQr": None if bars else asdict(barcodes.qr(reference))}


def _linear(code: barcodes.Barcode, *, available: float) -> Context | None:
    width = barcodes.printed_width(code, available=available)
    return None if width is None else asdict(code) | {"millimetres": f"{width:.3f}"}


def _proof_context(source: DocumentShipment, proof: Mapping[str, Any]) -> Context:
    return {
        "signer": proof["signerName"],
        "signedAt": _instant(proof["signedAt"]),
        "recordedAt": _instant(proof["recordedAt"]),
        "status": chart.state_label(source.shipment["status"]),
        "note": proof["note"],
        "record": proof["id"],
        "seq": proof["seq"],
        "earlier": proof["supersedes"] is not None,
        "pictures": [
            {"kind": kind, "title": title, "sha256": proof[kind]["sha256"]}
            for kind, title in _TITLES.items()
            if proof[kind]
        ],
    }


def _number(number: float | None, unit: str = "") -> str:
    return _BLANK if number is None else f"{number:,} {unit}".strip()


def _instant(iso_text: str | None) -> str:
    return report_layout.format_instant(datetime.fromisoformat(iso_text)) if iso_text else _BLANK


def _date(iso_text: str | None) -> str:
    return f"{datetime.fromisoformat(iso_text).astimezone(UTC):%Y-%m-%d} UTC" if iso_text else _BLANK
