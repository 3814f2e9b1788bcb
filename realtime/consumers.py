"""One socket's life: opened, heard, closed. Who it is, its rooms and its way out have modules of their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import Error as DatabaseError
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from monitoring import tracing
from monitoring.middleware import accepted_or_new
from ratelimits import limiter
from realtime import auth, census, clock, hub, locations, logins, metrics, protocol, tasks
from realtime.identity import Identity
from realtime.limits import Answer, MessageBucket
from realtime.membership import Membership
from realtime.outlet import Line, Outlet
from realtime.protocol import BadFrame, Close
from shipments import representation
from shipments.access import Subject

log = structlog.get_logger(__name__)
_START_AGAIN_SECONDS = 2.0
ROUTE = "/ws/"


class Refused(Exception):
    """The handshake is answered with 403; the sentence is for the log."""


class SocketConsumer(AsyncConsumer):  # type: ignore[misc]
    """One socket."""

    channel_layer_alias = ""  # the hub holds the one subscription; a socket has none
    outlet: Outlet
    identity: Identity | None = None

    def __init__(self) -> None:
        self.closed = False
        self.bucket = MessageBucket(time.monotonic())
        self.started_at = datetime.now(UTC)
        self.code: int | None = None
        self.ended = ""
        self.membership = Membership(self, hub.current())
        self._counted: str | None = None
        self._beats_at: int | None = None

    @property
    def subject(self) -> Subject | None:
        """Who it is, None until it has said so."""
        return self.identity.subject if self.identity else None

    # -- opened, heard, closed --------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """This will serve the socket; however it ends, nothing of it is left behind but one line in the log."""
        self.scope, self.base_send = scope, send
        told = self.headers = auth.headers_of(scope)
        self.origin = told.get("origin", "")[:200]
        with tracing.serving("WebSocket", told.get("traceparent", ""), told.get("tracestate", "")) as trace:
            request_id = accepted_or_new(told.get("x-request-id", ""))
            structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace.trace_id)
            del scope, told  # this goes on as long as the socket lives
            try:
                while True:
                    await self.dispatch(await receive())
            except StopConsumer:
                pass
            finally:
                self._end()
                self._tell()
                # They know it: without them it goes at once, and not only when the collector finds it.
                self.identity = None
                del self.membership

    async def dispatch(self, message: dict[str, Any]) -> None:
        """This will act on one message of the server's.

        Channels' own does so after a hop through a thread that closes old connections: there are none here.
        """
        kind = message["type"]
        if kind == "websocket.receive":
            await self.websocket_receive(message)
        elif kind == "websocket.connect":
            await self.websocket_connect()
        else:
            self.websocket_disconnect(message)

    async def websocket_connect(self) -> None:
        """This will refuse with 403 whoever must not even ask, accept anybody else and see who it is."""
        scope, headers = self.scope, self.headers
        self.scope, self.headers = {}, {}  # nobody asks for them again
        subprotocols = scope.get("subprotocols", [])
        offer = auth.offered(headers, subprotocols)
        address = auth.address_of(scope, headers)
        try:
            auth.check_origin(headers, offer)
            await self._count(limiter.address_key(address))
        except (auth.ForbiddenOrigin, Refused) as error:
            self.ended = str(error)
            await self.send({"type": "websocket.close"})
            raise StopConsumer from None
        accepted = protocol.VERSION if protocol.VERSION in subprotocols else None
        await self.send({"type": "websocket.accept", "subprotocol": accepted})
        metrics.accepted()
        self.outlet = Outlet(scope, self.base_send)
        self.identity = Identity(self, offer, address)
        self._beats_at = clock.current().set(self, protocol.HEARTBEAT_SECONDS)
        if not hub.current().running:
            tasks.start(self._start_hub())
        await self.identity.begin()

    async def _count(self, key: str) -> None:
        if not await census.current().take(key, settings.SOCKETS_PER_ADDRESS):
            metrics.limited("address_sockets")
            raise Refused("This address has too many sockets.")
        self._counted = key

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        """This will act on one client frame; a bad one is answered, not punished; no end of them is."""
        if self.closed or self.identity is None:
            return
        echo: Any = None
        try:
            answer = self.bucket.take(self.subject, now=time.monotonic())
            if answer is not Answer.SERVE:
                await self._slow_down(answer)
                return
            frame = protocol.decode(message.get("text"), message.get("bytes"))
            echo = frame.get("id")
            metrics.received(frame["type"])
            await self._act(self.identity, frame, echo)
        except BadFrame as error:
            self.deliver(protocol.error(code="bad_request", message=str(error), echo=echo))
        except (DatabaseError, OperationalError, PoolTimeout, OSError) as error:
            log.warning("WebSocket frame not served", error=repr(error))
            self.deliver(
                protocol.error(code="unavailable", message="The service cannot read now; try again.", echo=echo)
            )

    async def _slow_down(self, answer: Answer) -> None:
        metrics.limited("messages")
        if answer is Answer.CLOSE:
            await self.close(Close.TOO_MANY_MESSAGES, "Too many messages.")
            return
        self.deliver(
            protocol.error(code="rate_limited", message="Too many messages at once; this one was not read.")
        )

    def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """This will count one that the server itself has cut or drained."""
        if not self.closed and message.get("code") in {Close.SLOW_CONSUMER, Close.DRAINING}:
            metrics.closed(Close(message["code"]))
        self.code = self.code or message.get("code")
        raise StopConsumer

    async def close(self, code: Close, reason: str) -> None:
        """This will end the socket with one of our codes."""
        if not self.closed:
            self._end()
            metrics.closed(code)
            self.code, self.ended = int(code), reason
            await self.send({"type": "websocket.close", "code": int(code), "reason": reason})

    def deliver(self, frame: bytes) -> None:
        """This will send a frame without waiting, in order; a socket that takes too long is cut."""
        if self.closed:
            return
        metrics.sent(frame)
        if not self.outlet.put(frame):
            tasks.start(self.close(Close.SLOW_CONSUMER, "Too slow."))

    @property
    def line(self) -> Line | None:
        """The server's way to write to many sockets at once."""
        return self.outlet.line

    async def free(self) -> None:
        """This will wait until what was delivered is on its way, or the socket is gone."""
        await self.outlet.free()

    def _end(self) -> None:
        self.closed = True
        if self.identity is not None:
            self.identity.end()
            self.outlet.end()
        if self._beats_at is not None:
            clock.current().unset(self, self._beats_at)
            self._beats_at = None
            metrics.gone()
        self.membership.leave_all()
        if self._counted is not None:
            census.current().give_back(self._counted)
            self._counted = None

    def _tell(self) -> None:
        """This will write the one line of its life: who, how long, and how it ended."""
        subject = self.subject
        tracing.describe("WebSocket", {"http.route": ROUTE, "websocket.close_code": self.code})
        log.info(
            "WebSocket closed" if self.identity else "WebSocket refused",
            route=ROUTE,
            origin=self.origin,
            code=self.code,
            reason=self.ended,
            duration_ms=round((datetime.now(UTC) - self.started_at).total_seconds() * 1000, 1),
            address=self.identity.address if self.identity else None,
            connection=self.identity.connection_id if self.identity else None,
            user=str(subject.user_id) if subject and subject.user_id else None,
            organization=str(subject.organization_id) if subject else None,
        )

    # -- what it asks -----------------------------------------------------------------------------------

    async def _act(self, identity: Identity, frame: dict[str, Any], echo: object) -> None:
        kind = frame["type"]
        if identity.subject is None:
            await identity.first_frame(frame)
            return
        acts: dict[str, Callable[[dict[str, Any], object], Awaitable[None]]] = {
            "join:room": self._join,
            "leave:room": self._leave,
            "token:refresh": identity.refresh,
            "ping": self._ping,
            "driver:location": self._locate,
        }
        if kind not in acts:
            raise BadFrame(f"There is no frame type {kind[:40]!r} for clients.")
        await acts[kind](frame, echo)

    async def _join(self, frame: dict[str, Any], echo: object) -> None:
        subject, before = self.subject, set(self.membership.rooms)
        assert subject is not None  # noqa: S101  _act lets nobody else in
        with tracing.part("join:room", rooms=len(frame["rooms"]) if isinstance(frame.get("rooms"), list) else 1):
            await self.membership.join(subject, frame, echo)
        entered = set(self.membership.rooms) - before
        # What was permitted when it was asked for may be so no longer, and nobody tells of a room not yet entered.
        if entered and self.subject is not None and (self.subject is not subject or logins.bound(subject)):
            await self.membership.check(self.subject, list(entered))

    async def _leave(self, frame: dict[str, Any], echo: object) -> None:
        self.membership.leave(frame, echo)

    async def _locate(self, frame: dict[str, Any], echo: object) -> None:
        assert self.subject is not None  # noqa: S101  _act lets nobody else in
        refusal = await locations.record(self.subject, frame, echo)
        if refusal is not None:
            self.deliver(refusal)

    async def _ping(self, frame: dict[str, Any], echo: object) -> None:
        t = frame.get("t")
        if t is not None and not isinstance(t, int | float | str):
            raise BadFrame('"t" is a number or a string.')
        self.deliver(protocol.pong(echo=echo, t=t, timestamp=representation.instant(datetime.now(UTC)) or ""))

    # -- what happens to it -----------------------------------------------------------------------------

    async def recognise(self, fresh: Subject | None, *, anew: bool) -> None:
        """This will take what its credential stands for now."""
        if self.identity is not None:
            await self.identity.recognise(fresh, anew=anew)

    async def check_rooms(self, subject: Subject) -> None:
        """This will put it out of the rooms that the subject may not enter."""
        if not self.closed and self.membership.rooms:
            await self.membership.check(subject)

    def ring(self) -> None:
        """This will beat: say that the line is alive, and how far its rooms are."""
        if self._beats_at is not None:
            self._beats_at = clock.current().set(self, protocol.HEARTBEAT_SECONDS)
            if self.subject is not None:
                self.deliver(protocol.heartbeat(self.membership.heads()))

    async def _start_hub(self) -> None:
        """This will see to it that the hub runs: what ends a login is heard there, also without any room."""
        while not self.closed:
            try:
                await hub.current().ready()
            except Exception as error:  # noqa: BLE001  the database is away
                log.debug("hub not started", error=repr(error))
                await asyncio.sleep(_START_AGAIN_SECONDS)
            else:
                return
