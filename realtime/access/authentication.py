"""Who opens a socket: by header, ticket, a page's session with an allowed Origin, or token in the first frame."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, Literal

from django.conf import settings
from django.utils import timezone

from monitoring import addresses
from monitoring.dependencies.threads import run_in_thread
from ratelimits import async_limiter, limiter
from realtime.access.token_authenticator import TokenAuthenticator
from shipments import intake
from shipments.auth import credentials
from shipments.auth.credentials import Credential
from shipments.auth.subjects import Subject

# Handshakes must not wait for each other's queries in Channels' one thread.
_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="socket-auth")
# Nor must a revocation wait for a thousand handshakes.
_recheck_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="socket-access")
token_authenticator: Final = TokenAuthenticator(_threads)
_TICKET_PREFIX: Final = "ticket."


class ForbiddenOrigin(Exception):
    """The page that opens the socket is not on the list, or hides where it comes from."""


@dataclass(frozen=True, slots=True)
class HandshakeCredential:
    """What somebody shows to say who it is."""

    kind: Literal["token", "ticket", "session"]
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """Who it is, None for nobody; and whether it has not tried too often (`ws_connect`)."""

    subject: Subject | None
    within_limit: bool = True


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the handshake's headers by lower-case name."""
    return {name.decode("latin1"): value.decode("latin1") for name, value in scope["headers"]}


def handshake_credential(headers: Mapping[str, str], subprotocols: Sequence[str]) -> HandshakeCredential | None:
    """Return what the handshake shows, None where the first frame has to."""
    scheme, _, raw = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return HandshakeCredential("token", raw.strip())
    for each in subprotocols:
        if each.startswith(_TICKET_PREFIX):
            return HandshakeCredential("ticket", each.removeprefix(_TICKET_PREFIX))
    session = _session_key(headers)
    return HandshakeCredential("session", session) if session is not None else None


def check_origin(headers: Mapping[str, str], credential: HandshakeCredential | None) -> None:
    """Raise ForbiddenOrigin for a page of another site, and for a cookie without any Origin.

    Programs send no Origin; they show a header, a ticket or a first frame, which no foreign page can forge.
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
    """Return the client's address, by the same rule as for requests."""
    client = scope.get("client")
    meta = {"REMOTE_ADDR": client[0] if client else "", "HTTP_X_FORWARDED_FOR": headers.get("x-forwarded-for", "")}
    return addresses.client_address({name: value for name, value in meta.items() if value or name == "REMOTE_ADDR"})


async def authenticate(
    credential: HandshakeCredential | None, *, address: str | None, request_id: str
) -> AuthenticationResult:
    """Tell who it is, and count the handshake: for whom it is, else for where it comes from."""
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
            _threads, lambda: intake.redeem_ticket(ticket=credential.secret, now=timezone.now())
        )
    return await run_in_thread(
        _threads, lambda: credentials.subject_of_session(credential.secret, now=timezone.now())
    )


async def current_subject(credential: Credential) -> Subject | None:
    """Return whom a credential that was good once stands for now, None where it has ended."""
    return await run_in_thread(_recheck_threads, lambda: credentials.subject_of(credential, now=timezone.now()))
