"""Idempotency keys: the stored answers of writes that a client may repeat."""

from django.db import models


class IdempotencyKey(models.Model):
    """One keyed write of one caller: inserted first in the write's transaction, answered last in it."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, db_index=False)
    # Who used it: the subject's limit key. The same key of another caller is another key.
    caller = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    # SHA-256 over method, path and body: the same key with another request is refused.
    fingerprint = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "caller", "key"], name="idempotency_key_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_expiry")]

    def __str__(self) -> str:
        return self.key
