"""What exports remember: every run of one, for statistics over all processes."""

from django.db import models

from shipments.identifiers import new_id


class Run(models.Model):
    """One export or document, from its start to its end. The audit tells who took what; this only counts."""

    class Outcome(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization_id = models.UUIDField()
    report = models.CharField(max_length=16)
    format = models.CharField(max_length=8)
    outcome = models.CharField(max_length=9, choices=Outcome, default=Outcome.RUNNING)
    rows = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    # Whether it came out of a cache; NULL where there is none.
    cached = models.BooleanField(null=True)
    started_at = models.DateTimeField()
    # When its process was last heard of: one that was killed leaves a run that nobody ends.
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    # Who takes it, for the entry of the audit that the end of a killed one asks for.
    actor = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["-started_at"], name="export_run_started"),
            models.Index(fields=["seen_at"], condition=models.Q(outcome="running"), name="export_run_open"),
        ]

    def __str__(self) -> str:
        return f"{self.report}.{self.format} {self.outcome}"
