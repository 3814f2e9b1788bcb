"""Shipments: the current state, stored beside the log that it can be derived from."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Upper

from shipments.domain.identifiers import new_id
from shipments.domain.lifecycle import STATES
from shipments.querysets import ShipmentQuerySet

STATUSES = [(state, state.replace("_", " ")) for state in STATES]


class SearchText(models.Func):
    """The reference and the values of `references`, joined to one text for the search."""

    template = "(%(expressions)s)"
    arg_joiner = " || ' ' || "
    output_field = models.TextField()

    def __init__(self) -> None:
        values = models.Func(
            models.F("references"),
            template="jsonb_path_query_array(%(expressions)s, '$.*')::text",
            output_field=models.TextField(),
        )
        super().__init__(models.F("reference"), values)


class Shipment(models.Model):
    """A shipment. Changed by `shipments.services` alone: a trigger refuses a change without `seq + 1`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "Organization", on_delete=models.CASCADE, related_name="shipments", db_index=False
    )
    reference = models.CharField(max_length=64)
    status = models.CharField(max_length=20, choices=STATUSES, default="draft")
    # The number of the newest event: counted under the row lock, so without gaps.
    seq = models.PositiveBigIntegerField(default=1)
    origin = models.ForeignKey("Location", on_delete=models.PROTECT, related_name="+")
    destination = models.ForeignKey("Location", on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(
        "Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="shipments", db_index=False
    )
    driver = models.ForeignKey(
        "Driver", on_delete=models.PROTECT, null=True, blank=True, related_name="shipments", db_index=False
    )
    references = models.JSONField(default=dict, blank=True, help_text="Purchase order, bill of lading, PRO …")
    pieces = models.PositiveIntegerField(null=True, blank=True)
    weight_kg = models.DecimalField(max_digits=12, decimal_places=3, null=True, blank=True)
    volume_m3 = models.DecimalField(max_digits=10, decimal_places=3, null=True, blank=True)
    planned_pickup_at = models.DateTimeField(null=True, blank=True)
    planned_delivery_at = models.DateTimeField(null=True, blank=True)
    eta = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    # When the newest applied command or observation took effect; no command may take effect before it.
    effective_at = models.DateTimeField()
    # Since when the driver has had the freight, NULL where no driver has it: customers see no earlier position.
    underway_since = models.DateTimeField(null=True, blank=True, editable=False)
    # The open flags, `[{"flag", "reason", "openedAt"}]`; their history is in the log.
    flags = models.JSONField(default=list, blank=True)
    notes = models.TextField(blank=True, help_text="Internal; customers never see them.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[ShipmentQuerySet] = ShipmentQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organization",
                Upper("reference"),
                condition=models.Q(deleted_at=None),
                name="shipment_reference_once",
            ),
            models.CheckConstraint(condition=models.Q(status__in=STATES), name="shipment_status_known"),
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="shipment_seq_positive"),
            models.CheckConstraint(
                condition=models.Q(weight_kg=None) | models.Q(weight_kg__gte=0), name="shipment_weight_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(volume_m3=None) | models.Q(volume_m3__gte=0), name="shipment_volume_positive"
            ),
        ]
        indexes = [
            # Named in the operations runbook.
            models.Index(fields=["status"], name="idx_shipment_status"),
            models.Index(fields=["driver"], name="idx_shipment_driver_id"),
            models.Index(fields=["-created_at"], name="idx_shipment_created_at"),
            # For the row count of exports: deduplicated, a seventh of the size of any other index.
            models.Index(fields=["organization"], condition=models.Q(deleted_at=None), name="shipment_present"),
            # The list, newest first, alone and with each common filter; id breaks ties.
            models.Index(fields=["organization", "-created_at", "-id"], name="shipment_list"),
            models.Index(fields=["organization", "status", "-created_at", "-id"], name="shipment_list_by_status"),
            models.Index(fields=["driver", "-created_at", "-id"], name="shipment_list_by_driver"),
            models.Index(fields=["customer", "-created_at", "-id"], name="shipment_list_by_customer"),
            models.Index(fields=["organization", "eta", "id"], name="shipment_list_by_eta"),
            models.Index(fields=["organization", "updated_at", "id"], name="shipment_updated_since"),
            # The search: by the beginning of a reference, and by any part of reference or `references`.
            models.Index(
                "organization", OpClass(Upper("reference"), name="text_pattern_ops"), name="shipment_begins"
            ),
            GinIndex(OpClass(Upper(SearchText()), name="gin_trgm_ops"), name="shipment_searched"),
            # The look-up of one of `references` by its name and exact value.
            GinIndex(fields=["references"], opclasses=["jsonb_path_ops"], name="shipment_references"),
        ]

    def __str__(self) -> str:
        return self.reference
