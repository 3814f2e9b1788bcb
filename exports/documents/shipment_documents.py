"""The papers of one shipment: bill of lading, label, proof of delivery. What they show, drawn and kept."""

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
from exports.pdf import barcodes, rendering, report_layout
from exports.reports.formats import pdf
from shipments.auth.subjects import Subject
from shipments.caching.service import STAMP_BYTES
from shipments.selectors import documents
from shipments.selectors.documents import DocumentShipment

Context = dict[str, Any]
KINDS: Final = ("bol", "label", "pod")
_BLANK: Final = "–"
# How wide the bars of a reference may be drawn.
_LABEL_BARCODE_MM: Final = 91.0
_BOL_BARCODE_MM: Final = 72.0
_TITLES: Final = {"signature": "Signature", "photo": "Photo"}


class ProofOfDeliveryMissing(Exception):
    """The shipment has no proof of delivery."""


def render(papers: DocumentShipment, kind: str, *, by: Subject) -> bytes:
    """Return the document as PDF, out of the cache where just this was drawn before.

    Raises NoProof, Busy and CannotDraw.
    """
    rendering.require_libraries()
    context, proof_id = _context(papers, kind)
    stamp = hashlib.blake2b(orjson.dumps([kind, context, pdf.code_fingerprint()]), digest_size=STAMP_BYTES).digest()

    def make() -> bytes:
        pictures = documents.proof_pictures(proof_id) if proof_id else {}
        if not connection.in_atomic_block:
            connection.close()  # drawing takes long and needs none
        return rendering.render_document(f"{kind}.html", context, pictures)

    if connection.in_atomic_block:
        return make()  # what is seen here may never be committed
    return pdf.cache.get_or_set_stamped(f"export-pdf:{papers.id}:{kind}:{by.variant}", stamp, make)


def _context(papers: DocumentShipment, kind: str) -> tuple[Context, uuid.UUID | None]:
    """Return what the template shows, and whose pictures go with it."""
    shared = _shared_context(papers)
    if kind == "label":
        return shared | _label_context(papers, shared["sscc"]), None
    if kind == "bol":
        return shared | _bill_of_lading_context(papers), None
    proof = documents.current_proof(papers.id)
    if proof is None:
        raise ProofOfDeliveryMissing
    return shared | _proof_context(papers, proof), uuid.UUID(proof["id"])


def _shared_context(papers: DocumentShipment) -> Context:
    shipment = papers.shipment
    return {
        "organisation": papers.organization_name,
        "reference": shipment["reference"],
        "origin": shipment["origin"],
        "destination": shipment["destination"],
        "customer": (shipment["customer"] or {}).get("name", ""),
        "driver": (shipment["driver"] or {}).get("name", ""),
        "pieces": _number(shipment["pieces"]),
        "weight": _number(shipment["weightKg"], "kg"),
        "volume": _number(shipment["volumeM3"], "m³"),
        "sscc": sscc(papers.id),
        "ownPrefix": bool(settings.GS1_COMPANY_PREFIX),
        # Of what it says, not of when it was drawn: the same state is the same paper.
        "foot": f"{shipment['reference']} · state {shipment['seq']} of {_instant(shipment['updatedAt'])}",
    }


def sscc(shipment_id: uuid.UUID) -> str:
    """Return the shipment's SSCC: under the own prefix with the serial that it was given once."""
    prefix = settings.GS1_COMPANY_PREFIX
    if not prefix:
        return barcodes.demo_sscc(shipment_id)
    unit, _ = LogisticUnit.objects.get_or_create(shipment_id=shipment_id)
    return barcodes.sscc(prefix, unit.serial)


def _label_context(papers: DocumentShipment, code: str) -> Context:
    shipment = papers.shipment
    bars = barcodes.code_128(shipment["reference"])
    number = f"00{code}"
    deliver_by = shipment["plannedDeliveryAt"] or shipment["eta"]
    return {
        "date": _date(shipment["plannedPickupAt"] or shipment["createdAt"]),
        "deliverBy": _date(deliver_by),
        "bars": asdict(bars) if barcodes.fits(bars, millimetres=_LABEL_BARCODE_MM) else None,
        "qr": asdict(barcodes.qr(number)),
        "ssccBars": asdict(barcodes.gs1_128(number)),
    }


def _bill_of_lading_context(papers: DocumentShipment) -> Context:
    shipment = papers.shipment
    bars = barcodes.code_128(shipment["reference"])
    references = [(name.upper(), value) for name, value in sorted(shipment["references"].items())]
    return {
        "number": shipment["references"].get("bol", shipment["reference"]),
        "date": _date(shipment["plannedPickupAt"] or shipment["createdAt"]),
        "pickup": _instant(shipment["plannedPickupAt"]),
        "delivery": _instant(shipment["plannedDeliveryAt"]),
        "driverPhone": (shipment["driver"] or {}).get("phone", ""),
        "references": references,
        "notes": shipment.get("notes", ""),
        "bars": asdict(bars) if barcodes.fits(bars, millimetres=_BOL_BARCODE_MM) else None,
    }


def _proof_context(papers: DocumentShipment, proof: Mapping[str, Any]) -> Context:
    return {
        "signer": proof["signerName"],
        "signedAt": _instant(proof["signedAt"]),
        "recordedAt": _instant(proof["recordedAt"]),
        "status": report_layout.state_label(papers.shipment["status"]),
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
    return f"{datetime.fromisoformat(iso_text).astimezone(UTC):%Y-%m-%d}" if iso_text else _BLANK
