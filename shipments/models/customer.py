"""Customers: accounts of shippers and consignees."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import CustomerQuerySet, NameKey


class Customer(models.Model):
    """A shipper's or consignee's account at the carrier."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, related_name="customers")
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects: ClassVar[CustomerQuerySet] = CustomerQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        indexes = [
            models.Index(fields=["organization", "name", "id"], name="customer_list"),
            GinIndex(OpClass(NameKey("name"), name="gin_trgm_ops"), name="customer_named"),
        ]

    def __str__(self) -> str:
        return self.name
