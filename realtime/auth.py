"""Who opens a socket: a bearer header, a page's session with an allowed Origin, or a token in the first frame."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any, Final, TypeVar

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import close_old_connections
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from monitoring import addresses
from shipments import access
from shipments.access import Subject

T = TypeVar("T")
# Handshakes must not wait for each other's queries in Channels' one thread.
_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="socket-auth")


class ForbiddenOrigin(Exception):
    """The page that opens the socket is not on the list, or hides where it comes from."""


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """This will return the handshake's headers by lower-case name."""
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def check_origin(headers: Mapping[str, str]) -> None:
    """This will raise ForbiddenOrigin for a page of another site, and for a cookie without any Origin.

    Programs send no Origin; they authenticate by header or first frame, which no foreign page can forge.
    """
    origin = headers.get("origin")
    if origin is None:
        if bearer(headers) is None and settings.SESSION_COOKIE_NAME in headers.get("cookie", ""):
            raise ForbiddenOrigin("A session cookie needs an Origin.")
    elif origin not in settings.WS_CORS_ORIGINS:
        raise ForbiddenOrigin("This origin is not allowed.")


def bearer(headers: Mapping[str, str]) -> str | None:
    """This will return the token of an Authorization header."""
    scheme, _, raw = headers.get("authorization", "").partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else None


def session_key(headers: Mapping[str, str]) -> str | None:
    """This will return the session cookie's value."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return morsel.value if morsel else None


def address_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """This will return the client's address, by the same rule as for requests."""
    client = scope.get("client")
    meta = {"REMOTE_ADDR": client[0] if client else "", "HTTP_X_FORWARDED_FOR": headers.get("x-forwarded-for", "")}
    return addresses.client_address({name: value for name, value in meta.items() if value or name == "REMOTE_ADDR"})


async def of_token(raw: str) -> Subject | None:
    """This will return whom an access token or API key stands for, None where it is no good."""
    return await _in_thread(lambda: access.authenticate_token(raw, now=timezone.now()))


async def of_session(key: str) -> Subject | None:
    """This will return whom a session stands for, None where it is no good."""
    return await _in_thread(lambda: _load_session(key))


def _load_session(key: str) -> Subject | None:
    store = import_module(settings.SESSION_ENGINE).SessionStore(key)
    identifier = store.get(SESSION_KEY)
    if identifier is None:
        return None
    user = get_user_model().objects.select_related("membership").filter(pk=identifier).first()
    # A changed password ends its sessions, as on pages.
    if user is None or not constant_time_compare(store.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return access.of_user(user, session_key=key, expires_at=store.get_expiry_date())


async def _in_thread(read: Callable[[], T]) -> T:
    def work() -> T:
        try:
            return read()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, work)
