"""Proofs of delivery: stored with the event that says so; a later one takes the place of the one before."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain.pictures import Picture
from shipments.domain.versions import Version
from shipments.models import EventType, ProofOfDelivery, ProofPicture
from shipments.services import write
from shipments.services.validation import InvalidArgument, refuse_future, refuse_no_time


def record_proof_of_delivery(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    signer_name: str,
    pictures: Mapping[str, Picture],
    signed_at: datetime | None = None,
    note: str = "",
    expected_version: Version | None = None,
) -> ProofOfDelivery:
    """Store a proof of delivery; the status of the shipment does not change.

    `pictures` by kind, `signature` or `photo`, at least one, already cleaned. An earlier proof is superseded.
    Raises ShipmentNotFound, StaleWrite, InvalidArgument.
    """
    if not pictures:
        raise InvalidArgument("signature", "Send a signature, a photo, or both.", code="required")
    if signed_at:
        refuse_future("signedAt", signed_at, now=now, reason="What lies in the future cannot have been signed")
    with write.locked_shipment(reference, by=by, expected_version=expected_version) as shipment:
        if signed_at:
            refuse_no_time("signedAt", signed_at, booked_at=shipment.created_at)
        proof = ProofOfDelivery(
            shipment=shipment,
            seq=shipment.seq + 1,
            signer_name=signer_name,
            signed_at=signed_at or now,
            recorded_at=now,
            note=note,
            actor_role=by.role,
            actor_id=by.user_id,
            supersedes=ProofOfDelivery.objects.filter(shipment=shipment).order_by("-seq").first(),
        )
        _insert(proof, pictures)
        proof_json = represent(proof)
        write.commit_change(
            shipment,
            EventType.PROVEN,
            by=by,
            now=now,
            columns=(),
            changes={},
            occurred_at=proof.signed_at,
            audit_after=proof_json,
            proof={name: proof_json[name] for name in ("id", "signedAt", "supersedes")},
        )
    return proof


def _insert(proof: ProofOfDelivery, pictures: Mapping[str, Picture]) -> None:
    proof.save(force_insert=True)
    ProofPicture.objects.bulk_create(
        ProofPicture(proof=proof, kind=kind, **asdict(picture)) for kind, picture in pictures.items()
    )


def represent(proof: ProofOfDelivery) -> representation.Json:
    """Return the JSON of a proof: one query, for the metadata of its pictures."""
    return representation.proof(proof, proof.pictures.values(*representation.PICTURE_COLUMNS))
