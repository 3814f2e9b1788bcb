"""Announce, after COMMIT, that the access of a user has changed: open sockets check it again."""

import uuid
from functools import partial

from django.db import transaction
from django.db.models import F

from shipments import signals
from shipments.models import User


def notify_access_changed(user_id: uuid.UUID) -> None:
    """Bump the user's `access_version`: its permissions changed, or one of its logins, sessions or keys ended.

    Called inside the caller's transaction; `signals.access_changed` is sent once that has committed. Open
    sockets check their access again at the signal, or when the sweep sees the new version.
    """
    User.objects.filter(pk=user_id).update(access_version=F("access_version") + 1)
    transaction.on_commit(partial(_send_access_changed, user_id), robust=True)


def _send_access_changed(user_id: uuid.UUID) -> None:
    signals.access_changed.send_robust(sender=User, user_id=user_id)
