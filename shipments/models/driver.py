"""Drivers, and the newest position of each."""

from typing import ClassVar

from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import DriverQuerySet


class Driver(models.Model):
    """A person who moves freight."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        OFF_DUTY = "off_duty"
        INACTIVE = "inactive"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, related_name="drivers")
    name = models.CharField(max_length=120)
    phone = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    license_number = models.CharField(max_length=40, blank=True)
    vehicle = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects: ClassVar[DriverQuerySet] = DriverQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        indexes = [models.Index(fields=["organization", "name", "id"], name="driver_list")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "off_duty", "inactive"]), name="driver_status_known"
            )
        ]

    def __str__(self) -> str:
        return self.name


class DriverPosition(models.Model):
    """The newest position of a driver. The latest one wins, so it is not part of the log."""

    driver = models.OneToOneField(Driver, on_delete=models.CASCADE, primary_key=True, related_name="last_position")
    latitude = models.FloatField()
    longitude = models.FloatField()
    recorded_at = models.DateTimeField()
    # Reported by the driver itself, not by another system.
    own = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.latitude:.4f}, {self.longitude:.4f}"
