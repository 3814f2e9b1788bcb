"""The WebSocket consumer: one socket from handshake to close. Identity, rooms and sending have own modules."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import Error as DatabaseError
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from monitoring import clock
from monitoring.health import outages
from monitoring.middleware import accept_or_generate_id
from monitoring.tracing import trace_context
from ratelimits import limiter
from realtime import metrics
from realtime.access import authentication, background_tasks, revocation
from realtime.connections import connection_limits, driver_locations, timer_wheel
from realtime.connections.frame_sender import FrameSender
from realtime.connections.identity import Identity
from realtime.connections.message_rate_limit import MessageTokenBucket, RateDecision
from realtime.connections.room_memberships import RoomMemberships
from realtime.hub import room_hub
from realtime.hub.delivery import DirectSender
from realtime.protocol import frames
from realtime.protocol.close_codes import CloseCode
from realtime.protocol.frames import InvalidFrame
from shipments import representation
from shipments.auth.subjects import Subject

log = structlog.get_logger(__name__)
_HUB_RETRY_SECONDS = 2.0
ROUTE = "/ws/"


class HandshakeRefused(Exception):
    """The handshake is answered with 403; the message goes to the log."""


class SocketConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels is untyped
    """One socket: a member of the hub, and revocable."""

    channel_layer_alias = ""  # only the hub subscribes to the channel layer
    sender: FrameSender
    identity: Identity | None = None

    def __init__(self) -> None:
        self.closed = False
        self.message_bucket = MessageTokenBucket(time.monotonic())
        self.started_at = time.monotonic()
        self.close_code: int | None = None
        self.close_reason = ""
        self.memberships = RoomMemberships(self, room_hub.current())
        self._address_key: str | None = None
        self._heartbeat_tick: int | None = None

    @property
    def subject(self) -> Subject | None:
        """The authenticated subject, None before."""
        return self.identity.subject if self.identity else None

    # -- ASGI -------------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket until it ends, release all that it holds and write one log line."""
        self.scope, self.base_send = scope, send
        headers = self.headers = authentication.headers_of(scope)
        self.origin = headers.get("origin", "")[:200]
        with trace_context.server_span(
            "WebSocket", headers.get("traceparent", ""), headers.get("tracestate", "")
        ) as trace:
            request_id = accept_or_generate_id(headers.get("x-request-id", ""))
            structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace.trace_id)
            del scope, headers  # this frame lives as long as the socket
            try:
                while True:
                    await self.dispatch(await receive())
            except StopConsumer:
                pass
            finally:
                self._end()
                self._log_end()
                # Both refer to this object: without the cycles it is freed at once, not by the garbage collector.
                self.identity = None
                del self.memberships

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle one ASGI message.

        Channels' own method first switches to a thread to close old database connections, which none of this uses.
        """
        kind = message["type"]
        if kind == "websocket.receive":
            await self.websocket_receive(message)
        elif kind == "websocket.connect":
            await self.websocket_connect()
        else:
            self.websocket_disconnect(message)

    async def websocket_connect(self) -> None:
        """Accept the handshake and begin to authenticate.

        Refuse with 403, before accept, a foreign Origin and an address with too many sockets.
        """
        scope, headers = self.scope, self.headers
        self.scope, self.headers = {}, {}  # not needed again, and a few kilobytes for each socket
        subprotocols = scope.get("subprotocols", [])
        credential = authentication.handshake_credential(headers, subprotocols)
        address = authentication.address_of(scope, headers)
        try:
            authentication.check_origin(headers, credential)
            await self._acquire_slot(limiter.address_key(address))
        except (authentication.ForbiddenOrigin, HandshakeRefused) as error:
            self.close_reason = str(error)
            await self.send({"type": "websocket.close"})
            raise StopConsumer from None
        accepted = frames.VERSION if frames.VERSION in subprotocols else None
        await self.send({"type": "websocket.accept", "subprotocol": accepted})
        metrics.socket_opened()
        self.sender = FrameSender(scope, self.base_send, self._allow_frame)
        self.identity = Identity(self, credential, address)
        self._heartbeat_tick = timer_wheel.current().schedule(self, frames.HEARTBEAT_SECONDS)
        if not room_hub.current().running:
            background_tasks.spawn(self._start_hub())
        await self.identity.begin()

    async def _acquire_slot(self, key: str) -> None:
        if not await connection_limits.current().acquire(key, settings.SOCKETS_PER_ADDRESS):
            metrics.count_limited("address_sockets")
            raise HandshakeRefused("This address has too many sockets.")
        self._address_key = key

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """Handle one client frame. A bad frame is answered with an error; too many of any kind close the socket."""
        if self.closed or self.identity is None:
            return
        echo: Any = None
        try:
            decision = self.message_bucket.check(self.subject, now=time.monotonic())
            if decision is not RateDecision.SERVE:
                await self._refuse_message(decision)
                return
            frame = frames.decode(message.get("text"), message.get("bytes"))
            echo = frame.get("id")
            metrics.count_received(frame["type"])
            await self._dispatch_frame(self.identity, frame, echo)
        except InvalidFrame as error:
            self.deliver(frames.error(code="bad_request", message=str(error), echo=echo))
        except (DatabaseError, OperationalError, PoolTimeout, OSError) as error:
            log.warning("WebSocket frame not served", error=repr(error))
            self.deliver(frames.error(code="unavailable", message=outages.explain(error).detail, echo=echo))

    def _allow_frame(self) -> bool:
        """Count a ping, pong or continuation frame like a message; over the limit, close and return False."""
        decision = self.message_bucket.check(self.subject, now=time.monotonic())
        if decision is RateDecision.CLOSE:
            background_tasks.spawn(self._refuse_message(decision))
        return decision is not RateDecision.CLOSE

    async def _refuse_message(self, decision: RateDecision) -> None:
        metrics.count_limited("messages")
        if decision is RateDecision.CLOSE:
            await self.close(CloseCode.TOO_MANY_MESSAGES, "Too many messages.")
            return
        self.deliver(frames.error(code="rate_limited", message="Too many messages at once; this one was not read."))

    def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """End the socket; count a close that the server itself decided, as a slow consumer or drain."""
        if not self.closed and message.get("code") in {CloseCode.SLOW_CONSUMER, CloseCode.DRAINING}:
            metrics.count_close(CloseCode(message["code"]))
        self.close_code = self.close_code or message.get("code")
        raise StopConsumer

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket with a code of the protocol; a closed one is left as it is."""
        if not self.closed:
            self._end()
            metrics.count_close(code)
            self.close_code, self.close_reason = int(code), reason
            await self.send({"type": "websocket.close", "code": int(code), "reason": reason})

    def deliver(self, frame: bytes) -> None:
        """Send a frame in order and without waiting; a socket that reads too slowly is closed."""
        if self.closed:
            return
        metrics.count_sent(frame)
        if not self.sender.send(frame):
            background_tasks.spawn(self.close(CloseCode.SLOW_CONSUMER, "Too slow."))

    @property
    def direct_sender(self) -> DirectSender | None:
        """The server's send buffer of this socket, None on a server without one."""
        return self.sender.direct_sender

    async def drain(self) -> None:
        """Wait until the delivered frames have left the send buffer, or the socket is gone."""
        await self.sender.drain()

    def _end(self) -> None:
        self.closed = True
        if self.identity is not None:
            self.identity.end()
            self.sender.close()
        if self._heartbeat_tick is not None:
            timer_wheel.current().cancel(self, self._heartbeat_tick)
            self._heartbeat_tick = None
            metrics.socket_closed()
        self.memberships.leave_all()
        if self._address_key is not None:
            connection_limits.current().release(self._address_key)
            self._address_key = None

    def _log_end(self) -> None:
        """Write the socket's one log line: who, how long and how it ended."""
        subject = self.subject
        trace_context.describe_span("WebSocket", {"http.route": ROUTE, "websocket.close_code": self.close_code})
        log.info(
            "WebSocket closed" if self.identity else "WebSocket refused",
            route=ROUTE,
            origin=self.origin,
            code=self.close_code,
            reason=self.close_reason,
            duration_ms=round((time.monotonic() - self.started_at) * 1000, 1),
            address=self.identity.address if self.identity else None,
            connection=self.identity.connection_id if self.identity else None,
            user=str(subject.user_id) if subject and subject.user_id else None,
            organization=str(subject.organization_id) if subject else None,
        )

    # -- client frames ----------------------------------------------------------------------------------

    async def _dispatch_frame(self, identity: Identity, frame: dict[str, Any], echo: object) -> None:
        kind = frame["type"]
        if identity.subject is None:
            await identity.authenticate_first_frame(frame)
            return
        handlers: dict[str, Callable[[dict[str, Any], object], Awaitable[None]]] = {
            "join:room": self._join,
            "leave:room": self._leave,
            "token:refresh": identity.refresh,
            "ping": self._ping,
            "driver:location": self._record_location,
        }
        if kind not in handlers:
            raise InvalidFrame(f"There is no frame type {kind[:40]!r} for clients.")
        await handlers[kind](frame, echo)

    async def _join(self, frame: dict[str, Any], echo: object) -> None:
        subject, before = self.subject, set(self.memberships.rooms)
        assert subject is not None  # noqa: S101  _dispatch_frame requires it
        with trace_context.child_span(
            "join:room", rooms=len(frame["rooms"]) if isinstance(frame.get("rooms"), list) else 1
        ):
            await self.memberships.join(subject, frame, echo)
        entered, current = set(self.memberships.rooms) - before, self.subject
        # Rights may have changed since the permission check, and a re-check covers joined rooms only.
        if entered and current is not None and (current is not subject or revocation.is_restricted(subject)):
            await self.memberships.recheck(current, list(entered))

    async def _leave(self, frame: dict[str, Any], echo: object) -> None:
        self.memberships.leave(frame, echo)

    async def _record_location(self, frame: dict[str, Any], echo: object) -> None:
        assert self.subject is not None  # noqa: S101  _dispatch_frame requires it
        error_frame = await driver_locations.record(self.subject, frame, echo)
        if error_frame is not None:
            self.deliver(error_frame)

    async def _ping(self, frame: dict[str, Any], echo: object) -> None:
        t = frame.get("t")
        if t is not None and not isinstance(t, int | float | str):
            raise InvalidFrame('"t" is a number or a string.')
        self.deliver(frames.pong(echo=echo, t=t, timestamp=representation.instant(clock.now()) or ""))

    # -- events -----------------------------------------------------------------------------------------

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Apply the credential's current subject."""
        if self.identity is not None:
            await self.identity.update_subject(fresh, recheck_rooms=recheck_rooms)

    async def check_rooms(self, subject: Subject) -> None:
        """Leave the rooms that the subject may not enter."""
        if not self.closed and self.memberships.rooms:
            await self.memberships.recheck(subject)

    def fire(self) -> None:
        """Send a heartbeat with the heads of the joined rooms, and schedule the next."""
        if self._heartbeat_tick is not None:
            self._heartbeat_tick = timer_wheel.current().schedule(self, frames.HEARTBEAT_SECONDS)
            if self.subject is not None:
                self.deliver(frames.heartbeat(self.memberships.heads()))

    async def _start_hub(self) -> None:
        """Start the hub, which also receives revocations: a socket without any room needs them too."""
        while not self.closed:
            try:
                await room_hub.current().ensure_started()
            except Exception as error:  # noqa: BLE001  the database is away: try again
                log.debug("hub not started", error=repr(error))
                await asyncio.sleep(_HUB_RETRY_SECONDS)
            else:
                return
