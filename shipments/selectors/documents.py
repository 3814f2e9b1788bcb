"""Door: what the documents of one shipment show, read in a few small queries."""

import uuid
from dataclasses import dataclass
from typing import Any

from shipments import representation
from shipments.models import Organization, ProofOfDelivery, ProofPicture
from shipments.querysets import Viewer
from shipments.selectors import shipments as selectors


@dataclass(frozen=True, slots=True)
class Papers:
    """A shipment as the viewer may see it, and whose it is."""

    id: uuid.UUID
    organisation: str
    shipment: representation.Json


def papers(viewer: Viewer, variant: str, reference: str) -> Papers | None:
    """This will return what a document begins with, None where there is no such shipment for the viewer."""
    row = selectors.get(viewer, reference)
    if row is None:
        return None
    return Papers(row["id"], organisation(viewer.organization_id), representation.shipment(row, variant))


def organisation(organization_id: uuid.UUID) -> str:
    """This will return what an organisation is called."""
    name: str = Organization.objects.values_list("name", flat=True).get(pk=organization_id)
    return name


def proof(shipment_id: uuid.UUID) -> representation.Json | None:
    """This will return the proof of delivery that counts, None where there is none."""
    newest = ProofOfDelivery.objects.filter(shipment_id=shipment_id).order_by("-seq").first()
    if newest is None:
        return None
    return representation.proof(newest, newest.pictures.values(*representation.PICTURE_COLUMNS))


def pictures(proof_id: uuid.UUID) -> dict[str, bytes]:
    """This will return the pictures of a proof by their kind: `signature`, `photo`."""
    found: Any = ProofPicture.objects.filter(proof=proof_id).values_list("kind", "content")
    return {kind: bytes(content) for kind, content in found}
