"""Locations: UN/LOCODE places, shared by all organisations, and places of one organisation."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import NameKey


class Location(models.Model):
    """A place on Earth, in decimal degrees (WGS 84)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # NULL for a UN/LOCODE place, which all organisations share.
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, null=True, blank=True)
    locode = models.CharField(max_length=5, null=True, blank=True)
    name = models.CharField(max_length=120)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["locode"], name="location_locode_once"),
            models.CheckConstraint(
                condition=models.Q(latitude__gte=-90, latitude__lte=90) | models.Q(latitude=None),
                name="location_latitude_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(longitude__gte=-180, longitude__lte=180) | models.Q(longitude=None),
                name="location_longitude_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(locode=None) ^ models.Q(organization=None),
                name="location_is_shared_or_owned",
            ),
        ]
        indexes = [GinIndex(OpClass(NameKey("name"), name="gin_trgm_ops"), name="location_named")]

    def __str__(self) -> str:
        return f"{self.name} ({self.locode or self.country})"
