"""Socket tickets: single-use secrets for WebSockets, whose headers a browser cannot set."""

from django.db import models


class SocketTicket(models.Model):
    """The digest of a secret that stands for a credential for a few seconds; redeeming deletes the row."""

    id = models.BigAutoField(primary_key=True)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    # The JSON of `auth.credentials.Credential`: which login, session or key, without its secret.
    credential = models.JSONField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="socket_ticket_expired")]

    def __str__(self) -> str:
        return f"until {self.expires_at:%H:%M:%S}"
