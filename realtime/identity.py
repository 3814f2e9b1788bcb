"""Who a socket is: how it says so, and until when it may stay."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from realtime import auth, protocol
from realtime.protocol import BadFrame, Close
from shipments import representation
from shipments.access import Subject

log = structlog.get_logger(__name__)


class Socket(Protocol):
    """A socket, as its identity sees it."""

    closed: bool
    scope: Mapping[str, Any]

    def deliver(self, frame: bytes) -> None: ...
    async def close(self, code: Close, reason: str) -> None: ...


class Identity:
    """The subject of one socket, None until it has said who it is."""

    def __init__(self, socket: Socket, headers: Mapping[str, str]) -> None:
        self.subject: Subject | None = None
        self._socket: Final = socket
        self._headers: Final = headers
        self._timers: list[asyncio.TimerHandle] = []

    async def begin(self) -> None:
        """This will read the handshake's credentials; without any it waits for the first frame, a while."""
        token, session = auth.bearer(self._headers), auth.session_key(self._headers)
        if token is None and (session is None or "origin" not in self._headers):
            self._later(
                protocol.AUTHENTICATION_SECONDS, Close.NOT_AUTHENTICATED_IN_TIME, "No authentication in time."
            )
            return
        try:
            subject = await (auth.of_token(token) if token is not None else auth.of_session(session or ""))
        except Exception as error:  # noqa: BLE001  whatever the database does, the client may come back
            log.warning("WebSocket not authenticated", error=repr(error))
            await self._socket.close(Close.DRAINING, "The service cannot check credentials now.")
            return
        await self._welcome(subject)

    async def first_frame(self, frame: dict[str, Any]) -> None:
        """This will take the token of an `auth`; nothing else is heard from a stranger."""
        if frame["type"] != "auth" or not isinstance(frame.get("token"), str):
            raise BadFrame('First say who you are: {"type":"auth","token":…}.')
        await self._welcome(await auth.of_token(frame["token"]))

    def end(self) -> None:
        """This will stop the clocks."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    async def _welcome(self, subject: Subject | None) -> None:
        if subject is None or not subject.may("shipment:follow"):
            await self._socket.close(Close.UNAUTHENTICATED, "The credentials are missing, wrong or expired.")
            return
        self.end()
        connection_id = uuid.uuid4().hex
        address = auth.address_of(self._socket.scope, self._headers)
        self.subject = subject.at(address=address, request_id=connection_id)
        log.info("WebSocket opened", user=str(subject.user_id), role=subject.role, connection=connection_id)
        self._socket.deliver(
            protocol.welcome(connection_id=connection_id, expires_at=representation.instant(subject.expires_at))
        )
        if subject.expires_at:
            seconds = (subject.expires_at - datetime.now(UTC)).total_seconds()
            self._later(max(0.0, seconds), Close.UNAUTHENTICATED, "The credentials have expired.")

    def _later(self, seconds: float, code: Close, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(seconds, lambda: loop.create_task(self._socket.close(code, reason))))
