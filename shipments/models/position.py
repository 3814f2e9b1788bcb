"""Positions of drivers, and the device keys with which their phones report them."""

from typing import ClassVar

from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import OrganizationQuerySet


class Position(models.Model):
    """Where a driver was at one time. Insert-only, partitioned by day of `recorded_at`.

    Without a foreign key, which would check the driver for every row: the service checks once for a batch, and
    removes a driver's positions with the driver.
    """

    pk = models.CompositePrimaryKey("driver_id", "recorded_at")
    driver_id = models.UUIDField()
    recorded_at = models.DateTimeField()
    received_at = models.DateTimeField()
    latitude = models.FloatField()
    longitude = models.FloatField()
    accuracy = models.FloatField(null=True, help_text="Metres.")
    speed = models.FloatField(null=True, help_text="Metres a second.")
    bearing = models.FloatField(null=True, help_text="Degrees from north, clockwise.")
    # False where no vehicle could get there in that time: stored as evidence, shown nowhere.
    plausible = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"{self.latitude:.4f}, {self.longitude:.4f}"


class DeviceKey(models.Model):
    """A device key: the digest of a secret with which one driver's phone may report positions alone."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, db_index=False)
    driver = models.ForeignKey("Driver", on_delete=models.CASCADE, related_name="device_keys", db_index=False)
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[OrganizationQuerySet] = OrganizationQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        indexes = [models.Index(fields=["driver", "-created_at"], name="device_key_of_driver")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
