"""The credential behind a subject, without its secret: enough to check again whether it is still valid.

A request presents its credential each time. A WebSocket presents it once and lives on; a ticket stands for one.
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
    """One login, session or API key of a user, or one tracking link; `expires_at` is that of the access token."""

    user_id: uuid.UUID | None = None
    login_id: uuid.UUID | None = None
    key_id: uuid.UUID | None = None
    link_id: uuid.UUID | None = None
    session_key: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form that SocketTicket stores."""
        ids = {name: getattr(self, f"{name}_id") for name in _IDS}
        return {
            **{name: str(value) for name, value in ids.items() if value},
            "session": self.session_key,
            "expires": self.expires_at.isoformat() if self.expires_at else None,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the credential that `to_json` wrote."""
        return cls(
            **{f"{name}_id": uuid.UUID(stored[name]) for name in _IDS if name in stored},
            session_key=stored["session"],
            expires_at=datetime.fromisoformat(stored["expires"]) if stored["expires"] else None,
        )


def credential_of(subject: Subject) -> Credential | None:
    """Return the credential that a subject authenticated with, None for a subject without one."""
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
    """Return the current subject of a credential, None where it was revoked or has expired.

    An access token that a change of the account has made invalid for requests counts as its login here: the
    subject that is returned has the changed role and permissions.
    """
    if credential.session_key:
        return subject_of_session(credential.session_key, now=now)
    if credential.key_id:
        return _subject_of_key(credential.key_id, now)
    if credential.link_id:
        return bearers.subject_of_link(TrackingLink.objects.filter(pk=credential.link_id), now=now)
    return _subject_of_login(credential, now)


def subject_of_user(user_id: uuid.UUID, *, key_id: uuid.UUID | None, now: datetime) -> Subject | None:
    """Return the current subject of a user, or of one of its API keys, for a job that runs after its request.

    The login may have ended meanwhile; None where the key was revoked or the account is inactive.
    """
    if key_id is not None:
        subject = _subject_of_key(key_id, now)
        return subject if subject is not None and subject.user_id == user_id else None
    user = _fetch_user(user_id)
    return subjects.subject_of_user(user) if user is not None else None


def subject_of_session(key: str, *, now: datetime) -> Subject | None:
    """Return the subject of a page's session, None where it has ended."""
    session = Session.objects.filter(session_key=key, expire_date__gt=now).first()
    if session is None:
        return None
    session_data = session.get_decoded()
    user = _fetch_user(session_data.get(SESSION_KEY))
    # A changed password ends the sessions, as Django does for pages.
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
