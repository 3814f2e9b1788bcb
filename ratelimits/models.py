"""Failed attempts, counted in PostgreSQL: a limit on guessing must outlive a cache and never open."""

from django.db import models


class FailedAttempts(models.Model):
    """How often a key has failed in the window that its first failure began."""

    id = models.BigAutoField(primary_key=True)
    policy = models.CharField(max_length=24)
    key = models.CharField(max_length=300)
    failures = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField()
    # Attempts that are being checked now; forgotten after a while, should their process die.
    in_flight = models.PositiveIntegerField(default=0)
    in_flight_until = models.DateTimeField()

    class Meta:
        verbose_name_plural = "failed attempts"
        constraints = [models.UniqueConstraint(fields=["policy", "key"], name="failed_attempts_key")]
        indexes = [models.Index(fields=["ends_at"], name="failed_attempts_expired")]

    def __str__(self) -> str:
        return f"{self.policy} {self.key}: {self.failures}"
