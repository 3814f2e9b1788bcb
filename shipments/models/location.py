"""Locations: UN/LOCODE places, shared by all organisations, and places that one organisation has described."""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import NameKey


class Location(models.Model):
    """A place on Earth, in decimal degrees (WGS 84)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # NULL for a bare UN/LOCODE, which all organisations share. A place of one organisation may have a code, too.
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, null=True, blank=True)
    locode = models.CharField(max_length=5, null=True, blank=True)
    name = models.CharField(max_length=120)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    # A JSON object of facility, street, city, state and postcode, empty for none: shown, and never searched.
    details = models.TextField(blank=True, default="", db_default="", editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["locode"], condition=models.Q(organization=None), name="location_shared_once"
            ),
            models.CheckConstraint(
                condition=models.Q(latitude__gte=-90, latitude__lte=90) | models.Q(latitude=None),
                name="location_latitude_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(longitude__gte=-180, longitude__lte=180) | models.Q(longitude=None),
                name="location_longitude_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(locode__isnull=False) | models.Q(organization__isnull=False),
                name="location_has_code_or_owner",
            ),
        ]
        indexes = [GinIndex(OpClass(NameKey("name"), name="gin_trgm_ops"), name="location_named")]

    def __str__(self) -> str:
        return f"{self.name} ({self.locode or self.country})"
