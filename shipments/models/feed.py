"""The organisation feed: events of all shipments, with positions that the sequencer assigns in order."""

from django.db import models


class UnnumberedEvent(models.Model):
    """An event that is committed but has no position yet. A trigger inserts it with the event."""

    event = models.OneToOneField(
        "ShipmentEvent", on_delete=models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    organization_id = models.UUIDField()

    class Meta:
        # The first thousand rows of an organisation are counted from this index.
        indexes = [models.Index(fields=["organization_id", "event"], name="unnumbered_in_order")]

    def __str__(self) -> str:
        return str(self.event_id)


class FeedEntry(models.Model):
    """The position of one event in its organisation's feed. Insert-only, by the sequencer alone."""

    event = models.OneToOneField(
        "ShipmentEvent", on_delete=models.DO_NOTHING, primary_key=True, related_name="feed_entry"
    )
    organization = models.ForeignKey("Organization", on_delete=models.DO_NOTHING, db_index=False)
    position = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "position"], name="feed_position_once")]

    def __str__(self) -> str:
        return f"{self.organization_id} #{self.position}"
