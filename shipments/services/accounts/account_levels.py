"""Who may act on whose account: never on one above one's own level, by whatever door."""

import uuid
from typing import Final

from shipments.auth.subjects import AccountLevel, Forbidden, Subject
from shipments.models import User

_REASON_BY_LEVEL: Final = {
    AccountLevel.STAFF: "This account belongs to the staff: only staff and superusers change it.",
    AccountLevel.SUPERUSER: "This account belongs to a superuser: only superusers change it.",
}


class AccountAboveActor(Forbidden):
    """The account is above the subject's level: a password set for it would give its rights to the subject."""

    def __init__(self, reason: str, user_id: uuid.UUID) -> None:
        super().__init__(reason)
        self.user_id = user_id


def refusal_reason(by: Subject, user: User) -> str:
    """Return why the subject may not act on the account, in a sentence for it; empty where it may.

    Everybody may act on their own account: what each act needs beside, its service checks.
    """
    level = AccountLevel.of(user)
    return "" if user.pk == by.user_id or level <= by.level else _REASON_BY_LEVEL[level]


def require_level(by: Subject, user: User) -> None:
    """Raise AccountAboveActor unless the subject may act on the account, whose row is locked."""
    if reason := refusal_reason(by, user):
        raise AccountAboveActor(reason, user.pk)
