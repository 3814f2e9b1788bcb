"""The subject of a user as each kind of credential authenticates it: login, API key, session."""

from datetime import UTC, datetime, timedelta

from django.test import Client

from shipments.auth import bearers, credentials, subjects, tokens
from shipments.auth.subjects import Subject
from shipments.models import RefreshFamily, User
from shipments.services.accounts import api_keys


def now() -> datetime:
    return datetime.now(UTC)


def by_login(person: User) -> Subject:
    login = RefreshFamily.objects.create(
        user=person, created_at=now(), refreshed_at=now(), expires_at=now() + timedelta(days=1)
    )
    token, _ = tokens.issue_access(
        user_id=person.pk, login_id=login.pk, authz_version=person.authz_version, now=now()
    )
    subject = bearers.authenticate(token, now=now())
    assert subject is not None
    return subject


def by_key(person: User) -> Subject:
    maker = subjects.subject_of_user(person)
    assert maker is not None
    _, secret = api_keys.create(by=maker, now=now(), name="system", scopes=["shipments:read"])
    subject = bearers.authenticate(secret, now=now())
    assert subject is not None
    return subject


def by_session(person: User) -> Subject:
    page = Client()
    page.force_login(person)
    subject = credentials.subject_of_session(page.cookies["sessionid"].value, now=now())
    assert subject is not None
    return subject
