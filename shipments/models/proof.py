"""Proofs of delivery: who received a shipment, when, and the signature or photo that shows it."""

from django.db import models

from shipments.domain.identifiers import new_id


class ProofOfDelivery(models.Model):
    """One proof. Insert-only: it is corrected by another proof that names it in `supersedes`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    shipment = models.ForeignKey("Shipment", on_delete=models.PROTECT, related_name="proofs", db_index=False)
    # The `seq` of the event that recorded it.
    seq = models.PositiveBigIntegerField()
    signer_name = models.CharField(max_length=120)
    signed_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    note = models.CharField(max_length=500, blank=True)
    actor_role = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True, blank=True)
    supersedes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )

    class Meta:
        verbose_name_plural = "proofs of delivery"
        constraints = [models.UniqueConstraint(fields=["shipment", "seq"], name="proof_of_event")]

    def __str__(self) -> str:
        return f"{self.signer_name} {self.signed_at:%Y-%m-%d %H:%M}"


class ProofPicture(models.Model):
    """A picture of a proof, in a table of its own so that reading a proof does not read megabytes. Insert-only."""

    class Kind(models.TextChoices):
        """What the picture shows."""

        SIGNATURE = "signature"
        PHOTO = "photo"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    proof = models.ForeignKey(ProofOfDelivery, on_delete=models.PROTECT, related_name="pictures", db_index=False)
    kind = models.CharField(max_length=9, choices=Kind)
    media_type = models.CharField(max_length=16)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    # Of the uploaded bytes, before they were re-encoded: the client can prove what it sent.
    sha256 = models.BinaryField(max_length=32)
    content = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["proof", "kind"], name="proof_picture_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["signature", "photo"]), name="proof_picture_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.width} × {self.height}"
