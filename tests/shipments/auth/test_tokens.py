"""Tokens are valid only with our signature, of the right type, before they expire."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from pytest_django import Settings

from shipments.auth import tokens

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
USER, LOGIN = uuid.uuid4(), uuid.uuid4()


def _access(now: datetime = NOW) -> str:
    return tokens.issue_access(user_id=USER, login_id=LOGIN, authz_version=3, now=now)[0]


def _forged(**changes: Any) -> str:
    claims: dict[str, Any] = jwt.decode(_access(), options={"verify_signature": False})
    claims |= changes
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        tokens._signing_key(settings.SECRET_KEY),
        algorithm="HS256",
    )


def test_an_access_token_holds_user_login_version_and_expiry() -> None:
    claims = tokens.verify_access(_access(), NOW)

    assert claims == tokens.Claims(USER, LOGIN, 3, NOW + timedelta(minutes=settings.JWT_ACCESS_MINUTES))


def test_a_token_expires_by_the_callers_clock() -> None:
    with pytest.raises(tokens.InvalidToken, match="expired"):
        tokens.verify_access(_access(), NOW + timedelta(minutes=settings.JWT_ACCESS_MINUTES))


def test_a_cached_token_still_expires_and_keeps_its_type() -> None:
    token = _access()
    end = NOW + timedelta(minutes=settings.JWT_ACCESS_MINUTES)
    first = tokens.verify_access(token, NOW)

    assert tokens.verify_access(token, end - timedelta(seconds=1)) == first
    with pytest.raises(tokens.InvalidToken, match="expired"):
        tokens.verify_access(token, end)
    with pytest.raises(tokens.InvalidToken, match="wrong type"):
        tokens.verify_refresh(token, NOW)


def test_a_refresh_token_is_no_access_token() -> None:
    refresh = tokens.issue_refresh(
        user_id=USER, login_id=LOGIN, generation=1, now=NOW, expires_at=NOW + timedelta(days=1)
    )

    with pytest.raises(tokens.InvalidToken, match="wrong type"):
        tokens.verify_access(refresh, NOW)
    assert tokens.verify_refresh(refresh, NOW).version == 1


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "typ", "iss", "aud", "login", "ver"])
def test_a_missing_claim_is_refused(claim: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(_forged(**{claim: None}), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"typ": "refresh"},
        {"sub": "1"},
        {"exp": "soon"},
        {"exp": 10**20},
        {"ver": "x"},
    ],
)
def test_an_invalid_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(_forged(**changes), NOW)


def test_a_token_without_a_signature_is_refused() -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    payload = _access().split(".")[1]

    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(f"{header}.{payload}.", NOW)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_cannot_choose_its_algorithm(algorithm: str) -> None:
    claims = jwt.decode(_access(), options={"verify_signature": False})
    key = tokens._signing_key(settings.SECRET_KEY) * 2

    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(jwt.encode(claims, key, algorithm=algorithm), NOW)


def test_the_bare_secret_key_signs_nothing() -> None:
    claims = jwt.decode(_access(), options={"verify_signature": False})

    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256"), NOW)


def test_another_secret_key_refuses_the_token(settings: Settings) -> None:
    token = _access()
    settings.SECRET_KEY = "another" * 10

    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(token, NOW)


@pytest.mark.parametrize("text", ["", "a.b.c", "x" * 5000, "ü.ü.ü", "\0"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(text, NOW)


def test_our_own_tokens_are_decoded_without_pyjwt_to_the_same_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    token = _access()
    by_library = jwt.decode(
        token, tokens._signing_key(settings.SECRET_KEY), algorithms=["HS256"], audience=tokens.AUDIENCE,
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip

    assert tokens._decode_own(token, tokens._signing_key(settings.SECRET_KEY)) == by_library
    monkeypatch.setattr(jwt, "decode", None)
    assert tokens.verify_access(token, NOW).user_id == USER


@pytest.mark.parametrize(
    "changes", [{"iss": "other"}, {"aud": "other"}, {"sub": 1}, {"nbf": 2**40}, {"jti": 1}, {"ver": None}]
)
def test_any_other_form_of_token_is_left_to_pyjwt(changes: dict[str, Any]) -> None:
    assert tokens._decode_own(_forged(**changes), tokens._signing_key(settings.SECRET_KEY)) is None


def test_no_character_of_a_token_can_be_changed() -> None:
    token = _access()
    for place, letter in enumerate(token):
        other = token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :]

        assert tokens._decode_own(other, tokens._signing_key(settings.SECRET_KEY)) is None
