"""Device cookies: what a browser or program that has logged in to an account before shows at its next login.

OWASP's "device cookie": its failures are counted for itself, so a stranger who guesses at the account from
elsewhere locks out other strangers and not the owner's devices. It grants nothing else. The cookie holds the id of
the device and a signature over it, the account and the stored password: it fits one account, and a changed password
makes it void.
"""

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.http import HttpResponseBase
from django.utils.crypto import constant_time_compare, salted_hmac

from shipments.models import User

NAME: Final = "freight_device"
LIFETIME: Final = timedelta(days=180)
_SALT: Final = "freight.device.v1"
_MAX_LENGTH: Final = 200


def issue(user: User, *, now: datetime, device: str = "") -> str:
    """Return the cookie of a device of this account; a new device without one."""
    text = f"{device or secrets.token_hex(16)}.{int(now.timestamp())}"
    return f"{text}.{_signature(text, user, settings.SECRET_KEY)}"


def device_of(cookie: str, user: User | None, *, now: datetime) -> str:
    """Return the id of the device that shows this cookie for the account, "" for an unknown one."""
    text, _, signature = cookie.rpartition(".")
    device, _, issued_at = text.partition(".")
    if user is None or len(cookie) > _MAX_LENGTH or not (issued_at.isascii() and issued_at.isdecimal()):
        return ""
    if not any(
        constant_time_compare(signature, _signature(text, user, secret))
        for secret in (settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS))
    ):
        return ""
    is_fresh = 0 <= now.timestamp() - int(issued_at) + 60 < LIFETIME.total_seconds()
    return device if is_fresh else ""


def remember(response: HttpResponseBase, user: User, *, now: datetime, shown: str, path: str) -> None:
    """Set the cookie on the response to a login. `shown`: the cookie of the request; `path`: that of the login.

    It is sent to no other path: the fast path leaves requests with cookies to Django.
    """
    response.set_cookie(
        NAME,
        issue(user, now=now, device=device_of(shown, user, now=now)),
        max_age=LIFETIME,
        path=path,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )


def _signature(text: str, user: User, secret: str) -> str:
    value = f"{text} {user.pk} {user.password}"
    return salted_hmac(_SALT, value, secret=secret, algorithm="sha256").hexdigest()
