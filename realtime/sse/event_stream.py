"""One stream of Server-Sent Events: a member of the hub, whose frames leave as lines of text/event-stream."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from django.conf import settings

from monitoring.health import endpoints
from ratelimits import limiter
from realtime import metrics
from realtime.access.authentication import HandshakeCredential
from realtime.connections import connection_limits
from realtime.connections.identity import Identity
from realtime.connections.room_memberships import RoomMemberships
from realtime.hub.room_hub import RoomHub
from realtime.protocol import frames
from realtime.protocol.close_codes import CloseCode
from shipments.auth.subjects import Subject

Send = Callable[[dict[str, Any]], Awaitable[None]]
# What may wait for one stream beside what the server keeps.
MAX_BUFFERED_BYTES: Final = 1024 * 1024
# Nothing is silent longer than proxies and browsers bear.
KEEPALIVE_SECONDS: Final = (15.0, 25.0)
_KEEPALIVE: Final = b": still here\n\n"
_RETRY_MS: Final = (500, 3000)
# Answers of a socket that the response itself gives here.
_SOCKET_ONLY: Final = (b'{"type":"error"', b'{"type":"welcome"')

_open_streams: "set[EventStream]" = set()


def close_all() -> None:
    """End every stream of the process, each told when to come again: the process is going to stop."""
    for stream in tuple(_open_streams):
        stream.send_drain()


def encode_event(frame: bytes) -> bytes:
    """Return a socket's frame as one event, whose id is the cursor behind it: `epoch:seq`.

    The answer to a join becomes `snapshot` or `replay`; the others keep their type.
    """
    fields = orjson.loads(frame)
    name = fields["type"]
    if name == "room:joined":
        name = "replay" if fields["recovered"] else "snapshot"
    cursor = f"id: {fields['epoch']}:{fields['seq']}\n" if "seq" in fields else ""
    return f"{cursor}event: {name}\ndata: ".encode() + frame + b"\n\n"


class _EventCache:
    """The event that was made last: the hub hands the same bytes to every member of a room in turn."""

    frame = encoded = b""

    def encode(self, frame: bytes) -> bytes:
        if frame is not self.frame:
            self.encoded, self.frame = encode_event(frame), frame
        return self.encoded


_event_cache = _EventCache()


class EventStream:
    """Somebody's stream of one room: to the hub a member, to its identity a socket that only listens."""

    def __init__(self, credential: HandshakeCredential | None, address: str | None, hub: RoomHub) -> None:
        self.closed = False
        self.direct_sender = None
        self.close_code: CloseCode | None = None
        self.slow = False
        self.answered = False  # of its room
        self.identity = Identity(self, credential, address)
        self.memberships = RoomMemberships(self, hub)
        self._address_key = limiter.address_key(address)
        self._holds_slot = False
        self._buffer: list[bytes] = [b"retry: %d\n\n" % random.randint(*_RETRY_MS)]
        self._buffered_bytes = 0
        self._wakeup = asyncio.Event()
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def subject(self) -> Subject | None:
        """Who listens, None until that is known."""
        return self.identity.subject

    async def admit(self) -> None:
        """See who it is and count it among the sockets; `refused` says why it may not stay."""
        if not await connection_limits.current().acquire(self._address_key, settings.SOCKETS_PER_ADDRESS):
            metrics.count_limited("address_sockets")
            self.close_code = CloseCode.TOO_MANY_MESSAGES
            return
        self._holds_slot = True
        _open_streams.add(self)
        await self.identity.begin()

    # -- what the hub calls -----------------------------------------------------------------------------

    def deliver(self, frame: bytes) -> None:
        """Send a frame as an event, without waiting; the end of its room is the end of the stream."""
        if self.closed or frame.startswith(_SOCKET_ONLY):
            return
        self.answered = True
        self.write(_event_cache.encode(frame))
        if frame.startswith(b'{"type":"room:left"'):
            self.end()

    async def drain(self) -> None:
        """Not wait: a stream has one room, and its first answer may be as long as it is."""

    def write(self, text: bytes) -> None:
        """Send ready text; a reader for whom too much waits is cut."""
        self._buffer.append(text)
        self._buffered_bytes += len(text)
        self._wakeup.set()
        if self._buffered_bytes > MAX_BUFFERED_BYTES and len(self._buffer) > 1 and not self._aborted.done():
            self.slow = True
            metrics.count_close(CloseCode.SLOW_CONSUMER)
            self.end()
            self._aborted.set_result(None)

    def send_drain(self) -> None:
        """End the stream, told when to come again."""
        retry_ms = random.randint(*_RETRY_MS)
        self.write(b"retry: %d\n" % retry_ms)
        self.deliver(frames.drain(retry_ms=retry_ms))
        self.end()

    def end(self) -> None:
        """Leave the room; what waits still goes out."""
        self.closed = True
        _open_streams.discard(self)
        self.memberships.leave_all()
        self.identity.end()
        if self._holds_slot:
            self._holds_slot = False
            connection_limits.current().release(self._address_key)
        self._wakeup.set()

    # -- what its identity calls ------------------------------------------------------------------------

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Take what the credential stands for now."""
        await self.identity.update_subject(fresh, recheck_rooms=recheck_rooms)

    async def check_rooms(self, subject: Subject) -> None:
        """End the stream where the subject may not enter its room any more."""
        await self.memberships.recheck(subject)

    async def close(self, code: CloseCode, reason: str) -> None:
        """End the stream as it would a socket; the client's next request is answered with why."""
        self.close_code = code
        self.end()

    # -- what the response does -------------------------------------------------------------------------

    async def run(self, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> str:
        """Send until the stream ends, and return why it did.

        A reader who is cut finds the response broken off, not ended.
        """
        if endpoints.is_draining() and not self.closed:
            self.send_drain()  # it came by a connection that was kept; what it missed goes out first
        send_task = asyncio.create_task(self._send(send))
        disconnect_task = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({send_task, disconnect_task, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
            if send_task.done():
                send_task.result()  # raises what it met
                return "ended"
            return "slow" if self.slow else "left"
        finally:
            self.end()
            send_task.cancel()
            disconnect_task.cancel()

    async def _send(self, send: Send) -> None:
        while True:
            if self._buffer:
                text = b"".join(self._buffer)
                self._buffer.clear()
                self._buffered_bytes = 0
                await send({"type": "http.response.body", "body": text, "more_body": True})
            elif self.closed:
                await send({"type": "http.response.body", "body": b""})
                return
            else:
                await self._wait_for_frames()

    async def _wait_for_frames(self) -> None:
        """Wait for news, and make some where there are none for long."""
        self._wakeup.clear()
        try:
            async with asyncio.timeout(random.uniform(*KEEPALIVE_SECONDS)):
                await self._wakeup.wait()
        except TimeoutError:
            self._buffer.append(_KEEPALIVE)


async def _wait_for_disconnect(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
