"""Door: what stands behind a subject, without its secret: enough to ask again whether it is still good.

A request shows its credential each time. A socket shows it once and lives on, and a ticket stands for one.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils.crypto import constant_time_compare

from shipments.auth import bearers, subjects
from shipments.auth.subjects import Subject
from shipments.models import ApiKey, RefreshFamily, TrackingLink, User

_IDS: Final = ("user", "login", "key", "link")


@dataclass(frozen=True, slots=True)
class Credential:
    """One login, session or key of a user, or one tracking link; `expires_at` is that of an access token."""

    user_id: uuid.UUID | None = None
    login_id: uuid.UUID | None = None
    key_id: uuid.UUID | None = None
    link_id: uuid.UUID | None = None
    session_key: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        ids = {name: getattr(self, f"{name}_id") for name in _IDS}
        return {
            **{name: str(value) for name, value in ids.items() if value},
            "session": self.session_key,
            "expires": self.expires_at.isoformat() if self.expires_at else None,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return what `kept` wrote."""
        return cls(
            **{f"{name}_id": uuid.UUID(stored[name]) for name in _IDS if name in stored},
            session_key=stored["session"],
            expires_at=datetime.fromisoformat(stored["expires"]) if stored["expires"] else None,
        )


def credential_of(subject: Subject) -> Credential | None:
    """Return the credential that a subject came with, None for one that came with none."""
    by_user = subject.user_id and (subject.login_id or subject.key_id or subject.session_key)
    if not (by_user or subject.link_id):
        return None
    return Credential(
        user_id=subject.user_id,
        login_id=subject.login_id,
        key_id=subject.key_id,
        link_id=subject.link_id,
        session_key=subject.session_key,
        expires_at=subject.expires_at if subject.login_id else None,
    )


def subject_of(credential: Credential, *, now: datetime) -> Subject | None:
    """Return whom a credential stands for today, None where it has ended.

    An access token that an account's change made worthless for requests is still its login here: what
    changed is in the subject that is returned.
    """
    if credential.session_key:
        return subject_of_session(credential.session_key, now=now)
    if credential.key_id:
        return _subject_of_key(credential.key_id, now)
    if credential.link_id:
        return bearers.subject_of_link(TrackingLink.objects.filter(pk=credential.link_id), now=now)
    return _subject_of_login(credential, now)


def subject_of_user(user_id: uuid.UUID, *, key_id: uuid.UUID | None, now: datetime) -> Subject | None:
    """Return whom a user, or one of its keys, stands for today: for what was ordered and is done later.

    A login may end meanwhile, as people go home; a revoked key or account may not.
    """
    if key_id is not None:
        subject = _subject_of_key(key_id, now)
        return subject if subject is not None and subject.user_id == user_id else None
    user = _fetch_user(user_id)
    return subjects.subject_of_user(user) if user is not None else None


def subject_of_session(key: str, *, now: datetime) -> Subject | None:
    """Return whom a page's session stands for, None where it is no good."""
    session = Session.objects.filter(session_key=key, expire_date__gt=now).first()
    if session is None:
        return None
    session_data = session.get_decoded()
    user = _fetch_user(session_data.get(SESSION_KEY))
    # A changed password ends its sessions, as on pages.
    if user is None or not constant_time_compare(
        session_data.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()
    ):
        return None
    return subjects.subject_of_user(user, session_key=key, expires_at=session.expire_date)


def _subject_of_key(key_id: uuid.UUID, now: datetime) -> Subject | None:
    key = ApiKey.objects.select_related("user__membership").usable(now).filter(pk=key_id).first()
    return bearers.subject_of_api_key(key) if key else None


def _subject_of_login(credential: Credential, now: datetime) -> Subject | None:
    if credential.login_id is None or credential.user_id is None:
        return None
    if credential.expires_at is None or credential.expires_at <= now:
        return None
    login = (
        RefreshFamily.objects.select_related("user__membership")
        .filter(pk=credential.login_id, user_id=credential.user_id, revoked_at=None)
        .first()
    )
    if login is None:
        return None
    return subjects.subject_of_user(login.user, login_id=login.pk, expires_at=credential.expires_at)


def _fetch_user(identifier: object) -> User | None:
    try:
        key = uuid.UUID(str(identifier))
    except ValueError:
        return None
    return User.objects.select_related("membership").filter(pk=key).first()
