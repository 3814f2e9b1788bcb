"""Tracking links: public links to exactly one shipment."""

from typing import ClassVar

from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import LinkQuerySet


class TrackingLink(models.Model):
    """A tracking link: the digest of a secret that opens one shipment until it expires or is revoked."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, db_index=False)
    shipment = models.ForeignKey(
        "Shipment", on_delete=models.PROTECT, related_name="tracking_links", db_index=False
    )
    # The account of the customer who created it: the link ends when the shipment is no longer the account's.
    customer = models.ForeignKey("Customer", on_delete=models.CASCADE, null=True, blank=True)
    prefix = models.CharField(max_length=12)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_by_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[LinkQuerySet] = LinkQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        indexes = [models.Index(fields=["shipment", "-created_at"], name="link_of_shipment")]

    def __str__(self) -> str:
        return f"{self.prefix}…"
