"""Who a socket is: how it says so, until when it may stay, and what becomes of it when its rights change."""

import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from django.conf import settings

from ratelimits import limiter
from realtime import auth, census, clock, logins, metrics, protocol, tasks
from realtime.auth import Offer
from realtime.protocol import BadFrame, Close
from shipments import representation
from shipments.access import Subject

log = structlog.get_logger(__name__)


class Socket(logins.Visitor, Protocol):
    """A socket, as its identity sees it."""

    closed: bool

    def deliver(self, frame: bytes) -> None: ...
    async def close(self, code: Close, reason: str) -> None: ...
    async def check_rooms(self, subject: Subject) -> None: ...


class Identity:
    """The subject of one socket, None until it has said who it is."""

    __slots__ = (
        "_counted", "_offer", "_rings_at", "_rooms_unchecked", "_socket", "_then", "address", "connection_id",
        "subject",
    )  # fmt: skip

    def __init__(self, socket: Socket, offer: Offer | None, address: str | None) -> None:
        self.subject: Subject | None = None
        self._socket: Final = socket
        self._offer = offer
        self.address: Final = address
        self.connection_id: Final = uuid.uuid4().hex
        self._counted: str | None = None
        self._rooms_unchecked = False
        self._rings_at: int | None = None
        self._then: Callable[[], Coroutine[Any, Any, None] | None] | None = None

    # -- saying so --------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """This will look at what the handshake showed; without anything it waits for the first frame, a while."""
        offer, self._offer = self._offer, None
        if offer is None:
            self._at(protocol.AUTHENTICATION_SECONDS, self._too_late)
        else:
            await self._present(offer)

    async def first_frame(self, frame: dict[str, Any]) -> None:
        """This will take the token of an `auth`; nothing else is heard from a stranger."""
        if frame["type"] != "auth" or not isinstance(frame.get("token"), str):
            raise BadFrame('First say who you are: {"type":"auth","token":…}.')
        self._stop_clock()
        await self._present(Offer("token", frame["token"]))

    async def refresh(self, frame: dict[str, Any], echo: object) -> None:
        """This will let the socket go on with a newer token of the same user."""
        if not isinstance(frame.get("token"), str):
            raise BadFrame('Send the new token: {"type":"token:refresh","token":…}.')
        fresh = await auth.tokens.subject(frame["token"])
        before = self.subject
        if before is None or self._socket.closed:
            return
        if fresh is None or not _follows(fresh):
            self._refuse("unauthenticated", "The token is wrong or expired.", echo)
        elif _person(fresh) != _person(before):
            self._refuse("forbidden", "The token is of another user; open another socket with it.", echo)
        else:
            await self._become(fresh, look=_rights(fresh) != _rights(before))
            self._socket.deliver(
                protocol.token_refreshed(expires_at=representation.instant(fresh.expires_at), echo=echo)
            )

    def _refuse(self, code: str, message: str, echo: object) -> None:
        self._socket.deliver(protocol.error(code=code, message=message, echo=echo))

    async def _present(self, offer: Offer) -> None:
        try:
            verdict = await auth.admit(offer, address=self.address, request_id=self.connection_id)
        except Exception as error:  # noqa: BLE001  whatever the database does, the client may come back
            log.warning("WebSocket not authenticated", error=repr(error))
            await self._socket.close(Close.DRAINING, "The service cannot check credentials now.")
            return
        if not verdict.within_limit:
            await self._too_many()
        elif verdict.subject is None or not _follows(verdict.subject):
            await self._socket.close(Close.UNAUTHENTICATED, "The credentials are missing, wrong or expired.")
        elif await self._count(verdict.subject):
            self._welcome(verdict.subject)
        else:
            metrics.limited("user_sockets")
            await self._socket.close(Close.TOO_MANY_MESSAGES, "Too many sockets of one user.")

    async def _count(self, subject: Subject) -> bool:
        if limiter.is_exempt(subject):
            return True
        # A user has so many sockets with all its keys together.
        key = f"user:{subject.user_id}" if subject.user_id else subject.limit_key
        if not await census.current().take(key, settings.SOCKETS_PER_USER):
            return False
        self._counted = key
        if self._socket.closed:
            self._uncount()
        return True

    def _welcome(self, subject: Subject) -> None:
        if self._socket.closed:
            return
        self.subject = subject
        logins.enter(self._socket)
        log.debug("WebSocket opened", user=str(subject.user_id), role=subject.role, connection=self.connection_id)
        expires_at = representation.instant(subject.expires_at)
        self._socket.deliver(protocol.welcome(connection_id=self.connection_id, expires_at=expires_at))
        self._wind_clock()

    async def _too_late(self) -> None:
        """This will close who has said nothing: a handshake of its address, as one with a wrong token."""
        metrics.limited("unauthenticated")
        within_limit = True
        with suppress(Exception):
            within_limit = (
                await auth.admit(None, address=self.address, request_id=self.connection_id)
            ).within_limit
        if within_limit:
            await self._socket.close(Close.NOT_AUTHENTICATED_IN_TIME, "No authentication in time.")
        else:
            await self._too_many()

    async def _too_many(self) -> None:
        metrics.limited("connects")
        await self._socket.close(Close.TOO_MANY_MESSAGES, "Too many handshakes; wait a minute.")

    # -- rights that change -----------------------------------------------------------------------------

    async def recognise(self, fresh: Subject | None, *, anew: bool) -> None:
        """This will take what the credential stands for now; `anew`: look at the rooms in any case."""
        before = self.subject
        if before is None or self._socket.closed:
            return
        if fresh is None or not _follows(fresh) or fresh.organization_id != before.organization_id:
            metrics.access_changed("revoked")
            await self._socket.close(Close.REVOKED, "The login, key or account has ended.")
            return
        look = anew or self._rooms_unchecked or _rights(fresh) != _rights(before)
        metrics.access_changed("changed" if look else "kept")
        await self._become(fresh, look=look)

    async def _become(self, fresh: Subject, *, look: bool) -> None:
        """This will act as a fresh subject, out of the rooms that it may not enter."""
        before = self.subject
        fresh = fresh.at(address=self.address, request_id=self.connection_id)
        if look and before is not None:
            # Until the rooms were looked at, the sweep must not take the change as seen.
            self.subject = replace(fresh, access_version=before.access_version)
            self._rooms_unchecked = True
            await self._socket.check_rooms(fresh)
            self._rooms_unchecked = False
        self.subject = fresh
        if before is None or fresh.expires_at != before.expires_at:
            self._wind_clock()

    # -- its clock --------------------------------------------------------------------------------------

    def _wind_clock(self) -> None:
        self._stop_clock()
        if self.subject is None or self.subject.expires_at is None or self._socket.closed:
            return
        self._at(self._seconds_left(self.subject.expires_at) - protocol.EXPIRING_SECONDS, self._warn)

    def _seconds_left(self, expires_at: datetime) -> float:
        return (expires_at - datetime.now(UTC)).total_seconds()

    def _warn(self) -> None:
        if self.subject is not None and self.subject.expires_at is not None:
            expires_at = representation.instant(self.subject.expires_at) or ""
            self._socket.deliver(protocol.token_expiring(expires_at=expires_at))
            self._at(self._seconds_left(self.subject.expires_at), self._expire)

    async def _expire(self) -> None:
        await self._socket.close(Close.UNAUTHENTICATED, "The credentials have expired.")

    def _at(self, seconds: float, act: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        self._then = act
        self._rings_at = clock.current().set(self, max(0.0, seconds))

    def ring(self) -> None:
        """This will do what was to be done at this time."""
        act, self._then, self._rings_at = self._then, None, None
        work = act() if act is not None else None
        if work is not None:
            tasks.start(work)

    def _stop_clock(self) -> None:
        if self._rings_at is not None:
            clock.current().unset(self, self._rings_at)
        self._rings_at = self._then = None

    def end(self) -> None:
        """This will stop the clock and count the socket no longer."""
        self._stop_clock()
        logins.leave(self._socket)
        self._uncount()

    def _uncount(self) -> None:
        if self._counted is not None:
            census.current().give_back(self._counted)
            self._counted = None


def _follows(subject: Subject) -> bool:
    return subject.may("shipment:follow")


def _person(subject: Subject) -> tuple[object, ...]:
    return subject.user_id, subject.link_id, subject.organization_id


def _rights(subject: Subject) -> tuple[object, ...]:
    """This will return what decides which rooms a subject may enter."""
    return subject.role, subject.customer_id, subject.driver_id, subject.scopes
