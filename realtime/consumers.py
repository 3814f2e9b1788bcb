"""One socket's life: opened, heard, closed. Who it is, its rooms and its way out have modules of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from realtime import auth, hub, protocol
from realtime.identity import Identity
from realtime.membership import Membership
from realtime.outlet import Outlet
from realtime.protocol import BadFrame, Close
from shipments import representation
from shipments.access import Subject

log = structlog.get_logger(__name__)


class SocketConsumer(AsyncConsumer):  # type: ignore[misc]
    """One socket."""

    channel_layer_alias = ""  # the hub holds the one subscription; a socket has none
    identity: Identity
    outlet: Outlet

    def __init__(self) -> None:
        self.closed = False
        self.started_at = datetime.now(UTC)
        self.membership = Membership(self, hub.current())
        self._beating: asyncio.Task[None] | None = None

    @property
    def subject(self) -> Subject | None:
        """Who it is, None until it has said so."""
        return self.identity.subject

    # -- opened, heard, closed --------------------------------------------------------------------------

    async def websocket_connect(self, _: dict[str, Any]) -> None:
        """This will refuse a foreign Origin with 403, accept anybody else and see who it is."""
        headers = auth.headers_of(self.scope)
        self.identity = Identity(self, headers)
        try:
            auth.check_origin(headers)
        except auth.ForbiddenOrigin as error:
            log.info("WebSocket refused", reason=str(error), origin=headers.get("origin", "")[:200])
            await self.send({"type": "websocket.close"})
            raise StopConsumer from None
        offered = self.scope.get("subprotocols", [])
        await self.send(
            {"type": "websocket.accept", "subprotocol": protocol.VERSION if protocol.VERSION in offered else None}
        )
        self.outlet = Outlet(self.scope, self.send)
        self._beating = asyncio.get_running_loop().create_task(self._beat())
        await self.identity.begin()

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """This will act on one client frame; a bad one is answered, not punished."""
        if self.closed:
            return
        echo: Any = None
        try:
            frame = protocol.decode(message.get("text"), message.get("bytes"))
            echo = frame.get("id")
            await self._act(frame, echo)
        except BadFrame as error:
            self.deliver(protocol.error(code="bad_request", message=str(error), echo=echo))
        except (OperationalError, PoolTimeout, OSError) as error:
            log.warning("WebSocket frame not served", error=repr(error))
            self.deliver(
                protocol.error(code="unavailable", message="The service cannot read now; try again.", echo=echo)
            )

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """This will leave every room and say in the log how long it lasted."""
        self._end()
        log.info(
            "WebSocket closed",
            code=message.get("code"),
            seconds=round((datetime.now(UTC) - self.started_at).total_seconds(), 1),
            user=str(self.subject.user_id) if self.subject else None,
        )
        raise StopConsumer

    async def close(self, code: Close, reason: str) -> None:
        """This will end the socket with one of our codes."""
        if not self.closed:
            self._end()
            log.info("WebSocket ended", code=int(code), reason=reason)
            await self.send({"type": "websocket.close", "code": int(code), "reason": reason})

    def deliver(self, frame: bytes) -> None:
        """This will send a frame without waiting, in order; a socket that takes too long is cut."""
        if not self.closed and not self.outlet.put(frame):
            asyncio.get_running_loop().create_task(self.close(Close.SLOW_CONSUMER, "Too slow."))

    def _end(self) -> None:
        self.closed = True
        self.identity.end()
        if self._beating is not None:
            self._beating.cancel()
            self.outlet.end()
        self.membership.leave_all()

    # -- what it asks -----------------------------------------------------------------------------------

    async def _act(self, frame: dict[str, Any], echo: object) -> None:
        kind = frame["type"]
        if self.subject is None:
            await self.identity.first_frame(frame)
            return
        acts: dict[str, Callable[[dict[str, Any], object], Awaitable[None]]] = {
            "join:room": self._join,
            "leave:room": self._leave,
            "ping": self._ping,
        }
        if kind not in acts:
            raise BadFrame(f"There is no frame type {kind[:40]!r} for clients.")
        await acts[kind](frame, echo)

    async def _join(self, frame: dict[str, Any], echo: object) -> None:
        assert self.subject is not None  # noqa: S101  _act lets nobody else in
        await self.membership.join(self.subject, frame, echo)

    async def _leave(self, frame: dict[str, Any], echo: object) -> None:
        self.membership.leave(frame, echo)

    async def _ping(self, frame: dict[str, Any], echo: object) -> None:
        t = frame.get("t")
        if t is not None and not isinstance(t, int | float | str):
            raise BadFrame('"t" is a number or a string.')
        self.deliver(protocol.pong(echo=echo, t=t, timestamp=representation.instant(datetime.now(UTC)) or ""))

    async def _beat(self) -> None:
        while not self.closed:
            await asyncio.sleep(protocol.HEARTBEAT_SECONDS)
            if self.subject is not None:
                self.deliver(protocol.heartbeat(self.membership.heads()))
