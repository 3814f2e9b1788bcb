"""Checkpoints: observations of shipments by carriers, drivers and systems. Always stored, then applied or not."""

from django.db import models

from shipments.domain.identifiers import new_id


class Checkpoint(models.Model):
    """One observation. Only voiding may be added later: a trigger refuses any other change."""

    class Classifier(models.TextChoices):
        """DCSA's event classifier: actual, estimated, planned."""

        ACTUAL = "ACT"
        ESTIMATED = "EST"
        PLANNED = "PLN"

    class Outcome(models.TextChoices):
        """How it affected the status on arrival: for the audit, since it depends on the order of arrival.

        A duplicate is never stored: only the response to it says so.
        """

        APPLIED = "applied"
        LATE = "late"
        ANOMALOUS = "anomalous"
        DUPLICATE = "duplicate"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    shipment = models.ForeignKey("Shipment", on_delete=models.PROTECT, related_name="checkpoints", db_index=False)
    # The `seq` of the event that recorded it.
    seq = models.PositiveBigIntegerField()
    classifier = models.CharField(max_length=3, choices=Classifier)
    state = models.CharField(max_length=20, blank=True, help_text="Empty where it names no state of ours.")
    code = models.CharField(max_length=64, blank=True, help_text="The carrier's code, verbatim.")
    code_system = models.CharField(max_length=32, blank=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    location = models.ForeignKey("Location", on_delete=models.PROTECT, null=True, blank=True, db_index=False)
    note = models.CharField(max_length=500, blank=True)
    source = models.CharField(max_length=64)
    source_event_id = models.CharField(max_length=128, null=True, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome)
    voided_at = models.DateTimeField(null=True, blank=True)
    void_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            # A source corrects an event under its id: the one before is voided, and stays.
            models.UniqueConstraint(
                fields=["shipment", "source", "source_event_id"],
                condition=models.Q(source_event_id__isnull=False, voided_at=None),
                name="checkpoint_source_event_counts",
            ),
            models.UniqueConstraint(fields=["shipment", "seq"], name="checkpoint_of_event"),
        ]

    def __str__(self) -> str:
        return f"{self.classifier} {self.state or self.code} {self.occurred_at:%Y-%m-%d %H:%M}"
