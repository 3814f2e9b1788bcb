"""Blocking reads for the documents of one shipment (waybill, label, proof of delivery)."""

import uuid
from dataclasses import dataclass
from typing import Any

from shipments import representation
from shipments.models import Organization, ProofOfDelivery, ProofPicture
from shipments.querysets import Viewer
from shipments.selectors import shipments as selectors


@dataclass(frozen=True, slots=True)
class DocumentShipment:
    """A shipment in the viewer's variant, with its organisation."""

    id: uuid.UUID
    organization_name: str
    shipment: representation.Json


def document_shipment(viewer: Viewer, variant: str, reference: str) -> DocumentShipment | None:
    """Return the shipment of a document, None where it is missing or not visible to the viewer: two queries."""
    row = selectors.get_shipment(viewer, reference)
    if row is None:
        return None
    return DocumentShipment(
        row["id"], organization_name(viewer.organization_id), representation.shipment(row, variant)
    )


def organization_name(organization_id: uuid.UUID) -> str:
    """Return the name of an organisation."""
    name: str = Organization.objects.values_list("name", flat=True).get(pk=organization_id)
    return name


def current_proof(shipment_id: uuid.UUID) -> representation.Json | None:
    """Return the current proof of delivery, the newest one; None where there is none."""
    newest = ProofOfDelivery.objects.filter(shipment_id=shipment_id).order_by("-seq").first()
    if newest is None:
        return None
    return representation.proof(newest, newest.pictures.values(*representation.PICTURE_COLUMNS))


def proof_pictures(proof_id: uuid.UUID) -> dict[str, bytes]:
    """Return the pictures of a proof by kind: `signature`, `photo`."""
    rows: Any = ProofPicture.objects.filter(proof=proof_id).values_list("kind", "content")
    return {kind: bytes(content) for kind, content in rows}
