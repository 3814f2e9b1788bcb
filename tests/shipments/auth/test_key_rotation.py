"""A new SECRET_KEY with the old one among the fallbacks ends nothing; without it everything that was signed."""

import uuid
from datetime import timedelta

import pytest
from django.core.signing import BadSignature, Signer
from django.test import Client
from pytest_django import Settings

from shipments.auth import tokens
from tests import factories

_OLD, _NEW = "o" * 60, "n" * 60


def _token() -> str:
    return tokens.issue_access(user_id=uuid.uuid4(), login_id=uuid.uuid4(), authz_version=1, now=factories.NOW)[0]


def test_tokens_and_cursors_survive(settings: Settings) -> None:
    settings.SECRET_KEY = _OLD
    token, cursor = _token(), Signer(salt="cursor").sign("x")
    now = factories.NOW + timedelta(seconds=1)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = _NEW, [_OLD]
    assert tokens.verify_access(token, now).version == 1
    assert Signer(salt="cursor").unsign(cursor) == "x"

    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(token, now)
    with pytest.raises(BadSignature):
        Signer(salt="cursor").unsign(cursor)


@pytest.mark.django_db
def test_sessions_survive(settings: Settings) -> None:
    settings.SECRET_KEY = _OLD
    client = Client()
    client.force_login(factories.user(factories.organization(), "dispatcher"))

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = _NEW, [_OLD]
    assert client.get("/").status_code == 200

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "x" * 60, []
    assert client.get("/").status_code == 302
