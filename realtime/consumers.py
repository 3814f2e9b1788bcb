"""The socket's consumer: authenticate, then join and leave rooms. What happens in a room is the hub's."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from realtime import auth, protocol
from realtime.hub import RoomHub
from realtime.membership import Membership
from realtime.protocol import BadFrame, Close
from shipments import representation
from shipments.access import Subject

log = structlog.get_logger(__name__)
_hubs: dict[asyncio.AbstractEventLoop, RoomHub] = {}
# What a socket that cannot be written at once may have waiting, where the server offers no direct way.
_WAITING_FRAMES: Final = 1000


def hub() -> RoomHub:
    """This will return the hub of this process and event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = RoomHub()
    return _hubs[loop]


class SocketConsumer(AsyncConsumer):  # type: ignore[misc]
    """One socket."""

    channel_layer_alias = ""  # the hub holds the one subscription; a socket has none

    def __init__(self) -> None:
        self.subject: Subject | None = None
        self.closed = False
        self.membership = Membership(self, hub())
        self.started_at = datetime.now(UTC)
        self._timers: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Queue[bytes] | None = None

    # -- the socket's life ------------------------------------------------------------------------------

    async def websocket_connect(self, _: dict[str, Any]) -> None:
        """This will refuse a foreign Origin with 403, accept anybody else and see who it is."""
        self.headers = auth.headers_of(self.scope)
        try:
            auth.check_origin(self.headers)
        except auth.ForbiddenOrigin as error:
            log.info("WebSocket refused", reason=str(error), origin=self.headers.get("origin", "")[:200])
            await self.send({"type": "websocket.close"})
            raise StopConsumer from None
        offered = self.scope.get("subprotocols", [])
        await self.send(
            {"type": "websocket.accept", "subprotocol": protocol.VERSION if protocol.VERSION in offered else None}
        )
        self._open_way_out()
        await self._authenticate()

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

    def _end(self) -> None:
        self.closed = True
        for timer in self._timers:
            timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        self.membership.leave_all()

    async def close(self, code: Close, reason: str) -> None:
        """This will end the socket with one of our codes."""
        if not self.closed:
            self._end()
            log.info("WebSocket ended", code=int(code), reason=reason)
            await self.send({"type": "websocket.close", "code": int(code), "reason": reason})

    # -- who it is --------------------------------------------------------------------------------------

    async def _authenticate(self) -> None:
        token, session = auth.bearer(self.headers), auth.session_key(self.headers)
        if token is None and (session is None or "origin" not in self.headers):
            self._later(
                protocol.AUTHENTICATION_SECONDS, Close.NOT_AUTHENTICATED_IN_TIME, "No authentication in time."
            )
            return
        try:
            subject = await (auth.of_token(token) if token is not None else auth.of_session(session or ""))
        except Exception as error:  # noqa: BLE001  whatever the database does, the client may come back
            log.warning("WebSocket not authenticated", error=repr(error))
            await self.close(Close.DRAINING, "The service cannot check credentials now.")
            return
        await self._welcome(subject)

    async def _welcome(self, subject: Subject | None) -> None:
        if subject is None or not subject.may("shipments:read"):
            await self.close(Close.UNAUTHENTICATED, "The credentials are missing, wrong or expired.")
            return
        for timer in self._timers:
            timer.cancel()
        connection_id = uuid.uuid4().hex
        self.subject = subject.at(address=auth.address_of(self.scope, self.headers), request_id=connection_id)
        log.info("WebSocket opened", user=str(subject.user_id), role=subject.role, connection=connection_id)
        self.deliver(
            protocol.welcome(connection_id=connection_id, expires_at=representation.instant(subject.expires_at))
        )
        if subject.expires_at:
            seconds = (subject.expires_at - datetime.now(UTC)).total_seconds()
            self._later(max(0.0, seconds), Close.UNAUTHENTICATED, "The credentials have expired.")
        self._spawn(self._beat())

    def _later(self, seconds: float, code: Close, reason: str) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(seconds, lambda: loop.create_task(self.close(code, reason))))

    async def _beat(self) -> None:
        while not self.closed:
            await asyncio.sleep(protocol.HEARTBEAT_SECONDS)
            self.deliver(protocol.heartbeat(self.membership.heads()))

    # -- what it asks -----------------------------------------------------------------------------------

    async def _act(self, frame: dict[str, Any], echo: object) -> None:
        kind = frame["type"]
        if self.subject is None:
            if kind != "auth" or not isinstance(frame.get("token"), str):
                raise BadFrame('First say who you are: {"type":"auth","token":…}.')
            await self._welcome(await auth.of_token(frame["token"]))
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

    # -- the way out ------------------------------------------------------------------------------------

    def _open_way_out(self) -> None:
        """This will take the server's direct way for frames, else a queue and a task of its own."""
        extension = self.scope.get("extensions", {}).get("freight.frames")
        if extension is not None:
            self._write = extension["write"]
            return
        self._waiting = asyncio.Queue(_WAITING_FRAMES)
        self._spawn(self._drain())

    def deliver(self, frame: bytes) -> None:
        """This will send a frame without waiting, in order; a socket that takes too long is cut."""
        if self.closed:
            return
        if self._waiting is None:
            self._write(frame)
            return
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            asyncio.get_running_loop().create_task(self.close(Close.SLOW_CONSUMER, "Too slow."))

    async def _drain(self) -> None:
        assert self._waiting is not None  # noqa: S101  made just before
        while True:
            frame = await self._waiting.get()
            await self.send({"type": "websocket.send", "text": frame.decode()})

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
