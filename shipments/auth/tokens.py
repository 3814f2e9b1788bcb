"""Access and refresh tokens: signed claims, verified without a query. `bearers` finds their subject.

JSON Web Tokens (RFC 7519) with one fixed algorithm, so that no token can choose how it is checked.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import jwt
import orjson
from django.conf import settings

ALGORITHM: Final = "HS256"
ISSUER: Final = "freight"
AUDIENCE: Final = "freight-api"
ACCESS: Final = "access"
REFRESH: Final = "refresh"
API_KEY_PREFIX: Final = "frk_"
DEVICE_KEY_PREFIX: Final = "frd_"
TRACKING_PREFIX: Final = "frt_"
# No token of ours is longer; longer ones are refused before the signature check.
MAX_LENGTH: Final = 2048
_REQUIRED_CLAIMS: Final = ["exp", "iat", "sub", "typ", "iss", "aud", "login"]
# The header and the claims of every token that `_issue` makes.
_HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}') + b"."
_OWN_CLAIMS: Final = frozenset({*_REQUIRED_CLAIMS, "ver"})


class InvalidToken(Exception):
    """The text is not a valid token; the reason is for the log alone, never for the client."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified token; `version`: the user's authz_version (access) or the generation (refresh)."""

    user_id: uuid.UUID
    login_id: uuid.UUID
    version: int
    expires_at: datetime


def issue_access(
    *, user_id: uuid.UUID, login_id: uuid.UUID, authz_version: int, now: datetime
) -> tuple[str, datetime]:
    """Return an access token and the time at which it expires."""
    expires_at = now + timedelta(minutes=settings.JWT_ACCESS_MINUTES)
    return _issue(ACCESS, user_id, login_id, authz_version, now, expires_at), expires_at


def issue_refresh(
    *, user_id: uuid.UUID, login_id: uuid.UUID, generation: int, now: datetime, expires_at: datetime
) -> str:
    """Return the refresh token of one generation of a login."""
    return _issue(REFRESH, user_id, login_id, generation, now, expires_at)


def verify_access(token: str, now: datetime) -> Claims:
    """Return the claims of an access token; raises InvalidToken."""
    return _verify(ACCESS, token, now)


def verify_refresh(token: str, now: datetime) -> Claims:
    """Return the claims of a refresh token; raises InvalidToken."""
    return _verify(REFRESH, token, now)


def new_api_key() -> str:
    """Make the secret of an API key: `frk_` and 43 characters, 256 random bits."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def new_device_key() -> str:
    """Make the secret of a device key: `frd_` and 22 characters, 128 random bits, short enough to type."""
    return DEVICE_KEY_PREFIX + secrets.token_urlsafe(16)


def new_tracking_token() -> str:
    """Make the secret of a tracking link: `frt_` and 22 characters, 128 random bits."""
    return TRACKING_PREFIX + secrets.token_urlsafe(16)


def digest(secret: str) -> bytes:
    """Return the digest under which a secret is stored; 128 random bits and more need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _issue(
    kind: str, user_id: uuid.UUID, login_id: uuid.UUID, version: int, now: datetime, expires_at: datetime
) -> str:
    return jwt.encode(
        {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": kind,
            "sub": str(user_id),
            "login": str(login_id),
            "ver": version,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        },
        _signing_key(settings.SECRET_KEY),
        algorithm=ALGORITHM,
    )


def _verify(kind: str, token: str, now: datetime) -> Claims:
    if len(token) > MAX_LENGTH:
        raise InvalidToken("too long")
    typ, claims = _decode_by_any_key(token)
    if typ != kind:
        raise InvalidToken("wrong type")
    if claims.expires_at <= now:
        raise InvalidToken("expired")
    return claims


def _decode_by_any_key(token: str) -> tuple[str, Claims]:
    """Decode by the key, else by one that it has replaced (SECRET_KEY_FALLBACKS); raises InvalidToken."""
    try:
        return _decode(token, _signing_key(settings.SECRET_KEY))
    except InvalidToken:
        for secret in map(str, settings.SECRET_KEY_FALLBACKS):
            with contextlib.suppress(InvalidToken):
                return _decode(token, _signing_key(secret))
        raise


@lru_cache(maxsize=4096)
def _decode(token: str, key: bytes) -> tuple[str, Claims]:
    """Return the type and claims of a token signed by this key, expired or not; raises InvalidToken.

    Cached: the content of a token never changes.
    """
    try:
        payload: dict[str, Any] = _decode_own(token, key) or jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            # `_verify` compares the times with the caller's clock.
            options={"require": _REQUIRED_CLAIMS, "verify_exp": False, "verify_iat": False},
        )
        token_claims = Claims(
            user_id=uuid.UUID(payload["sub"]),
            login_id=uuid.UUID(payload["login"]),
            version=int(payload["ver"]),
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )
    except (jwt.PyJWTError, KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise InvalidToken(type(error).__name__) from error
    return payload["typ"], token_claims


def _decode_own(token: str, key: bytes) -> dict[str, Any] | None:
    """Return the claims of a token exactly as `_issue` writes it, None for any other, which PyJWT then decodes.

    It takes a third of the time that PyJWT takes for every request and handshake.
    """
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
        if not signed.startswith(_HEADER):
            return None
        expected = base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")
        if not hmac.compare_digest(expected, signature):
            return None
        encoded_payload = signed[len(_HEADER) :]
        claims = orjson.loads(base64.urlsafe_b64decode(encoded_payload + b"=" * (-len(encoded_payload) % 4)))
    except ValueError:
        return None
    if not isinstance(claims, dict) or claims.keys() != _OWN_CLAIMS or None in claims.values():
        return None
    is_ours = claims["iss"] == ISSUER and claims["aud"] == AUDIENCE and isinstance(claims["sub"], str)
    return claims if is_ours else None


@lru_cache(maxsize=4)
def _signing_key(secret: str) -> bytes:
    """Derive the signing key, so that no other use of SECRET_KEY can make a token."""
    return hashlib.blake2b(secret.encode(), key=b"freight.tokens.v1", digest_size=32).digest()
