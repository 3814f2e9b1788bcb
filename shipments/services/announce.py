"""Tells whoever listens, after COMMIT, that what somebody may see has changed."""

import uuid
from functools import partial

from django.db import transaction

from shipments import signals
from shipments.models import User


def access_changed(user_id: uuid.UUID) -> None:
    """This will send `signals.access_changed` once the caller's transaction has committed."""
    transaction.on_commit(partial(_send, user_id), robust=True)


def _send(user_id: uuid.UUID) -> None:
    signals.access_changed.send_robust(sender=User, user_id=user_id)
