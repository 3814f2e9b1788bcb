"""Authentication of sockets and streams.

A handshake is authenticated by an Authorization header, a single-use ticket or a page's session cookie (with an
allowed Origin); a socket may also send a token in its first frame.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, Literal

from django.conf import settings

from monitoring import addresses, clock
from monitoring.dependencies.threads import run_in_thread
from ratelimits import async_limiter, limiter
from realtime.access.token_authenticator import TokenAuthenticator
from shipments import intake
from shipments.auth import credentials
from shipments.auth.credentials import Credential
from shipments.auth.subjects import Subject

# Channels runs synchronous code of a process in one thread: there, handshakes would wait for each other's queries.
_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="socket-auth")
# Separate threads, so that a revocation does not queue behind a thousand handshakes.
_recheck_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="socket-access")
token_authenticator: Final = TokenAuthenticator(_threads)
_TICKET_PREFIX: Final = "ticket."


class ForbiddenOrigin(Exception):
    """The Origin is not in WS_CORS_ORIGINS, or is missing beside a session cookie."""


@dataclass(frozen=True, slots=True)
class HandshakeCredential:
    """A credential as the client presented it, not verified yet."""

    kind: Literal["token", "ticket", "session"]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """The subject, None for invalid credentials, and whether the rate limit `ws_connect` allows the handshake."""

    subject: Subject | None
    within_limit: bool = True


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an ASGI scope by lower-case name."""
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def handshake_credential(headers: Mapping[str, str], subprotocols: Sequence[str]) -> HandshakeCredential | None:
    """Return the credential of a handshake, None where the first frame has to bring one.

    A header counts before a ticket and a ticket before a cookie; the others are not tried.
    """
    scheme, _, raw = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return HandshakeCredential("token", raw.strip())
    for each in subprotocols:
        if each.startswith(_TICKET_PREFIX):
            return HandshakeCredential("ticket", each.removeprefix(_TICKET_PREFIX))
    session = _session_key(headers)
    return HandshakeCredential("session", session) if session is not None else None


def check_origin(headers: Mapping[str, str], credential: HandshakeCredential | None) -> None:
    """Raise ForbiddenOrigin for a page of another site, and for a cookie without an Origin.

    Programs send no Origin. They authenticate by header, ticket or first frame, which a foreign page cannot forge.
    """
    origin = headers.get("origin")
    if origin is None:
        if credential is not None and credential.kind == "session":
            raise ForbiddenOrigin("A session cookie needs an Origin.")
    elif origin not in settings.WS_CORS_ORIGINS:
        raise ForbiddenOrigin("This origin is not allowed.")


def _session_key(headers: Mapping[str, str]) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    return morsel.value if morsel else None


def address_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """Return the client's address, by the rule for HTTP requests: forwarded headers count from the proxy only."""
    client = scope.get("client")
    meta = {"REMOTE_ADDR": client[0] if client else "", "HTTP_X_FORWARDED_FOR": headers.get("x-forwarded-for", "")}
    return addresses.client_address({name: value for name, value in meta.items() if value or name == "REMOTE_ADDR"})


async def authenticate(
    credential: HandshakeCredential | None, *, address: str | None, request_id: str
) -> AuthenticationResult:
    """Verify a credential and count the handshake under `ws_connect`, by subject, else by address.

    Raise what the database raises.
    """
    subject = await _subject_of(credential) if credential else None
    if subject is not None:
        subject = subject.with_request_origin(address=address, request_id=request_id)
    key = subject.limit_key if subject else limiter.address_key(address)
    usage = await async_limiter.check("ws_connect", key, subject=subject)
    return AuthenticationResult(subject, usage is None or usage.allowed)


async def _subject_of(credential: HandshakeCredential) -> Subject | None:
    if credential.kind == "token":
        return await token_authenticator.authenticate(credential.secret)
    if credential.kind == "ticket":
        return await run_in_thread(
            _threads, lambda: intake.redeem_ticket(ticket=credential.secret, now=clock.now())
        )
    return await run_in_thread(_threads, lambda: credentials.subject_of_session(credential.secret, now=clock.now()))


async def current_subject(credential: Credential) -> Subject | None:
    """Return the current subject of a credential that was valid once, None where it has ended or was revoked.

    Raise what the database raises.
    """
    return await run_in_thread(_recheck_threads, lambda: credentials.subject_of(credential, now=clock.now()))
