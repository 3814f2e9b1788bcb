"""The audit trail: who did what, from where, and what it changed."""

from django.db import models

from shipments.domain.identifiers import new_id


class AuditEntry(models.Model):
    """One act. Insert-only: a trigger refuses UPDATE, DELETE and TRUNCATE."""

    class Outcome(models.TextChoices):
        DONE = "done"
        REFUSED = "refused"
        FAILED = "failed"
        STARTED = "started"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # NULL for an act on the whole installation.
    organization = models.ForeignKey(
        "Organization", on_delete=models.DO_NOTHING, null=True, blank=True, db_index=False
    )
    at = models.DateTimeField()
    actor_role = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True, blank=True)
    actor_name = models.CharField(max_length=254, blank=True)
    action = models.CharField(max_length=24)
    entity = models.CharField(max_length=24)
    entity_id = models.CharField(max_length=64, blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.DONE)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["organization", "-at", "-id"], name="audit_list"),
            models.Index(fields=["organization", "entity", "entity_id", "-at"], name="audit_of_entity"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.entity} {self.entity_id}"


class UnlinkedEntry(models.Model):
    """An audit entry that is committed but not yet in its chain. A trigger inserts it with the entry."""

    entry = models.OneToOneField(
        AuditEntry, on_delete=models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    organization_id = models.UUIDField(null=True)

    def __str__(self) -> str:
        return str(self.entry_id)


class AuditLink(models.Model):
    """One link of an organisation's hash chain: `hash` covers the entry and the previous link. Insert-only.

    Entries of the whole installation form a chain without an organisation.
    """

    entry = models.OneToOneField(AuditEntry, on_delete=models.DO_NOTHING, primary_key=True, related_name="link")
    organization = models.ForeignKey("Organization", on_delete=models.DO_NOTHING, null=True, db_index=False)
    n = models.PositiveBigIntegerField()
    previous = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "n"], nulls_distinct=False, name="audit_link_once")
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} #{self.n}"
