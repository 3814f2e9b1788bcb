"""Idempotency keys: stored responses of writes that a client may repeat."""

from django.db import models


class IdempotencyKey(models.Model):
    """One write with a key: inserted first in the write's transaction, given its response last."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, db_index=False)
    # The subject's limit key: the same key of another caller is another row.
    caller = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    # SHA-256 of method, path and body: the key with another request is refused.
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
