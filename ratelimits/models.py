"""Failed attempts, whose limit must hold without Redis, and the limits that operators have changed."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class FailedAttempts(models.Model):
    """The failures of a key in the window that its first failure started.

    Keys are `login:<address> <account>`, `account:<account>`, `address:<address>` and `device:<id>`.
    """

    id = models.BigAutoField(primary_key=True)
    policy = models.CharField(max_length=24)
    key = models.CharField(max_length=300)
    failures = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField()
    # Attempts that are being checked; they expire should their process die.
    in_flight = models.PositiveIntegerField(default=0)
    in_flight_until = models.DateTimeField()
    # Whether an attempt of this window was refused already: only the first one is worth an audit entry.
    refusal_noted = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name_plural = "failed attempts"
        constraints = [models.UniqueConstraint(fields=["policy", "key"], name="failed_attempts_key")]
        indexes = [models.Index(fields=["ends_at"], name="failed_attempts_expired")]

    def __str__(self) -> str:
        return f"{self.policy} {self.key}: {self.failures}"


_COUNT = [MinValueValidator(1), MaxValueValidator(2**31 - 1)]
_SECONDS = [MinValueValidator(1), MaxValueValidator(31 * 86400)]


class PolicyLimit(models.Model):
    """A policy whose numbers an operator has changed; without a row those of the environment apply."""

    policy = models.CharField(max_length=12, primary_key=True)
    most = models.PositiveIntegerField("requests", validators=_COUNT, help_text="At most so many in one window.")
    window = models.PositiveIntegerField("window in seconds", validators=_SECONDS)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(most__gte=1, window__gte=1), name="policy_limit_positive")
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.most} in {self.window} s"


class KeyLimit(models.Model):
    """The limit of one key (an API key, a user or an address) in the window of the policy."""

    id = models.BigAutoField(primary_key=True)
    policy = models.CharField(max_length=12)
    key = models.CharField(max_length=50)
    most = models.PositiveIntegerField(
        "requests",
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="At most so many in one window; empty: no limit.",
    )
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "key"], name="key_limit_once"),
            models.CheckConstraint(
                condition=models.Q(most__isnull=True) | models.Q(most__gte=1), name="key_limit_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} of {self.key}: {'no limit' if self.most is None else self.most}"


class Revision(models.Model):
    """The number of changes of the two tables above, which a trigger increments and every process polls."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    number = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return str(self.number)
