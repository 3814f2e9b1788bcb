"""Tickets: what opens one socket, once, in place of a header that a browser cannot set."""

from django.db import models


class SocketTicket(models.Model):
    """A hashed secret that stands for a caller's credential for a few seconds; redeeming deletes it."""

    id = models.BigAutoField(primary_key=True)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    # `credentials.Credential`: which login, session or key, and no secret of it.
    credential = models.JSONField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="socket_ticket_expired")]

    def __str__(self) -> str:
        return f"until {self.expires_at:%H:%M:%S}"
