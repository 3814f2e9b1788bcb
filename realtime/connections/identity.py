"""The identity of a socket or stream: authentication, expiry, refresh and revocation."""

import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Protocol

import structlog
from django.conf import settings

from monitoring import clock
from ratelimits import limiter
from realtime import metrics
from realtime.access import authentication, background_tasks, revocation
from realtime.access.authentication import HandshakeCredential
from realtime.connections import connection_limits, timer_wheel
from realtime.protocol import frames
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.frames import InvalidFrame
from shipments import representation
from shipments.auth.subjects import Subject

log = structlog.get_logger(__name__)


class Socket(revocation.Revocable, Protocol):
    """A socket or stream, as its identity sees it."""

    closed: bool

    def deliver(self, frame: bytes) -> None: ...
    async def close(self, code: CloseCode, reason: str) -> None: ...
    async def check_rooms(self, subject: Subject) -> None: ...


class Identity:
    """The subject of one socket, None before authentication."""

    __slots__ = (
        "_counted_key", "_credential", "_rooms_unchecked", "_socket", "_timer_action", "_timer_tick", "address",
        "connection_id", "subject",
    )  # fmt: skip

    def __init__(self, socket: Socket, credential: HandshakeCredential | None, address: str | None) -> None:
        self.subject: Subject | None = None
        self._socket: Final = socket
        self._credential = credential
        self.address: Final = address
        self.connection_id: Final = uuid.uuid4().hex
        self._counted_key: str | None = None
        self._rooms_unchecked = False
        self._timer_tick: int | None = None
        self._timer_action: Callable[[], Coroutine[Any, Any, None] | None] | None = None

    # -- authentication ---------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Verify the handshake's credential; without one, wait AUTHENTICATION_SECONDS for the first frame."""
        credential, self._credential = self._credential, None
        if credential is None:
            self._schedule(frames.AUTHENTICATION_SECONDS, self._close_unauthenticated)
        else:
            await self._authenticate(credential)

    async def authenticate_first_frame(self, frame: dict[str, Any]) -> None:
        """Verify the token of an `auth` frame; raise InvalidFrame for any other frame."""
        if frame["type"] != "auth" or not isinstance(frame.get("token"), str):
            raise InvalidFrame('First say who you are: {"type":"auth","token":…}.')
        self._cancel_timer()
        await self._authenticate(HandshakeCredential("token", frame["token"]))

    async def refresh(self, frame: dict[str, Any], echo: object) -> None:
        """Replace the credential by a newer token of the same principal; any other is answered with an error."""
        if not isinstance(frame.get("token"), str):
            raise InvalidFrame('Send the new token: {"type":"token:refresh","token":…}.')
        fresh = await authentication.token_authenticator.authenticate(frame["token"])
        before = self.subject
        if before is None or self._socket.closed:
            return
        if fresh is None or not _may_follow(fresh):
            self._refuse("unauthenticated", "The token is wrong or expired.", echo)
        elif _principal(fresh) != _principal(before):
            self._refuse("forbidden", "The token is of another user; open another socket with it.", echo)
        else:
            await self._set_subject(fresh, recheck_rooms=_access_rights(fresh) != _access_rights(before))
            self._socket.deliver(
                frames.token_refreshed(expires_at=representation.instant(fresh.expires_at), echo=echo)
            )

    def _refuse(self, code: str, message: str, echo: object) -> None:
        self._socket.deliver(frames.error(code=code, message=message, echo=echo))

    async def _authenticate(self, credential: HandshakeCredential) -> None:
        try:
            result = await authentication.authenticate(
                credential, address=self.address, request_id=self.connection_id
            )
        except Exception as error:  # noqa: BLE001  whatever the database raises: the client may reconnect
            log.warning("WebSocket not authenticated", error=repr(error))
            await self._socket.close(CloseCode.DRAINING, "The service cannot check credentials now.")
            return
        if not result.within_limit:
            await self._close_rate_limited()
        elif result.subject is None or not _may_follow(result.subject):
            await self._socket.close(CloseCode.UNAUTHENTICATED, "The credentials are missing, wrong or expired.")
        elif await self._acquire_slot(result.subject):
            self._welcome(result.subject)
        else:
            metrics.count_limited("user_sockets")
            await self._socket.close(CloseCode.TOO_MANY_MESSAGES, "Too many sockets of one user.")

    async def _acquire_slot(self, subject: Subject) -> bool:
        if limiter.is_exempt(subject):
            return True
        # The limit counts the sockets of a user over all its logins and keys.
        key = f"user:{subject.user_id}" if subject.user_id else subject.limit_key
        if not await connection_limits.current().acquire(key, settings.SOCKETS_PER_USER):
            return False
        self._counted_key = key
        if self._socket.closed:
            self._release_slot()
        return True

    def _welcome(self, subject: Subject) -> None:
        if self._socket.closed:
            return
        self.subject = subject
        revocation.register(self._socket)
        log.debug("WebSocket opened", user=str(subject.user_id), role=subject.role, connection=self.connection_id)
        expires_at = representation.instant(subject.expires_at)
        self._socket.deliver(frames.welcome(connection_id=self.connection_id, expires_at=expires_at))
        self._schedule_expiry()

    async def _close_unauthenticated(self) -> None:
        """Close a socket that sent no credential; it counts as a handshake of its address, like a wrong token."""
        metrics.count_limited("unauthenticated")
        within_limit = True
        with suppress(Exception):
            within_limit = (
                await authentication.authenticate(None, address=self.address, request_id=self.connection_id)
            ).within_limit
        if within_limit:
            await self._socket.close(CloseCode.NOT_AUTHENTICATED_IN_TIME, "No authentication in time.")
        else:
            await self._close_rate_limited()

    async def _close_rate_limited(self) -> None:
        metrics.count_limited("connects")
        await self._socket.close(CloseCode.TOO_MANY_MESSAGES, "Too many handshakes; wait a minute.")

    # -- revocation -------------------------------------------------------------------------------------

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Apply the credential's current subject: close the socket where it is revoked, else adopt its rights.

        `recheck_rooms` checks the rooms even where the access rights did not change. Raise what the database
        raises; the next sweep tries again.
        """
        before = self.subject
        if before is None or self._socket.closed:
            return
        if fresh is None or not _may_follow(fresh) or fresh.organization_id != before.organization_id:
            metrics.count_recheck("revoked")
            await self._socket.close(CloseCode.REVOKED, "The login, key or account has ended.")
            return
        must_recheck = recheck_rooms or self._rooms_unchecked or _access_rights(fresh) != _access_rights(before)
        metrics.count_recheck("changed" if must_recheck else "kept")
        await self._set_subject(fresh, recheck_rooms=must_recheck)

    async def _set_subject(self, fresh: Subject, *, recheck_rooms: bool) -> None:
        """Adopt a fresh subject, after leaving the rooms that it may not enter."""
        before = self.subject
        fresh = fresh.with_request_origin(address=self.address, request_id=self.connection_id)
        if recheck_rooms and before is not None:
            # Keep the old version until the rooms are checked, so that the sweep tries again after a failure.
            self.subject = replace(fresh, access_version=before.access_version)
            self._rooms_unchecked = True
            await self._socket.check_rooms(fresh)
            self._rooms_unchecked = False
        self.subject = fresh
        if before is None or fresh.expires_at != before.expires_at:
            self._schedule_expiry()

    # -- expiry -----------------------------------------------------------------------------------------

    def _schedule_expiry(self) -> None:
        self._cancel_timer()
        if self.subject is None or self.subject.expires_at is None or self._socket.closed:
            return
        self._schedule(self._seconds_left(self.subject.expires_at) - frames.EXPIRY_WARNING_SECONDS, self._warn)

    def _seconds_left(self, expires_at: datetime) -> float:
        return (expires_at - clock.now()).total_seconds()

    def _warn(self) -> None:
        if self.subject is not None and self.subject.expires_at is not None:
            expires_at = representation.instant(self.subject.expires_at) or ""
            self._socket.deliver(frames.token_expiring(expires_at=expires_at))
            self._schedule(self._seconds_left(self.subject.expires_at), self._expire)

    async def _expire(self) -> None:
        await self._socket.close(CloseCode.UNAUTHENTICATED, "The credentials have expired.")

    def _schedule(self, seconds: float, action: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        self._timer_action = action
        self._timer_tick = timer_wheel.current().schedule(self, max(0.0, seconds))

    def fire(self) -> None:
        """Run the scheduled action."""
        action, self._timer_action, self._timer_tick = self._timer_action, None, None
        coroutine = action() if action is not None else None
        if coroutine is not None:
            background_tasks.spawn(coroutine)

    def _cancel_timer(self) -> None:
        if self._timer_tick is not None:
            timer_wheel.current().cancel(self, self._timer_tick)
        self._timer_tick = self._timer_action = None

    def end(self) -> None:
        """Cancel the timer, end the re-checks and release the connection slot."""
        self._cancel_timer()
        revocation.unregister(self._socket)
        self._release_slot()

    def _release_slot(self) -> None:
        if self._counted_key is not None:
            connection_limits.current().release(self._counted_key)
            self._counted_key = None


def _may_follow(subject: Subject) -> bool:
    return subject.has_permission("shipment:follow")


def _principal(subject: Subject) -> tuple[object, ...]:
    return subject.user_id, subject.link_id, subject.organization_id


def _access_rights(subject: Subject) -> tuple[object, ...]:
    """Return the attributes that decide which rooms a subject may enter."""
    return subject.role, subject.customer_id, subject.driver_id, subject.scopes
