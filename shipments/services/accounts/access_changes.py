"""Tells whoever listens, after COMMIT, that what somebody may see has changed."""

import uuid
from functools import partial

from django.db import transaction
from django.db.models import F

from shipments import signals
from shipments.models import User


def notify_access_changed(user_id: uuid.UUID) -> None:
    """Note that what a user may do has changed, or that one of its logins, sessions or keys ended.

    Inside the caller's transaction; `signals.access_changed` goes out once that has committed. Living
    sockets look again: at the signal, or when they see the number.
    """
    User.objects.filter(pk=user_id).update(access_version=F("access_version") + 1)
    transaction.on_commit(partial(_send_access_changed, user_id), robust=True)


def _send_access_changed(user_id: uuid.UUID) -> None:
    signals.access_changed.send_robust(sender=User, user_id=user_id)
