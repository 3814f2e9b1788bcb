"""One stream of Server-Sent Events: a member of the hub that sends its frames as text/event-stream."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from django.conf import settings

from monitoring.health import process_state
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
# The buffer of one stream, beside the server's own.
MAX_BUFFERED_BYTES: Final = 1024 * 1024
# The longest silence, in seconds (randomised): proxies close connections that are idle for longer.
KEEPALIVE_SECONDS: Final = (15.0, 25.0)
_KEEPALIVE: Final = b": still here\n\n"
_RETRY_MS: Final = (500, 3000)
# Frames that a stream replaces by the status of its response.
_SOCKET_ONLY: Final = (b'{"type":"error"', b'{"type":"welcome"')

_open_streams: "set[EventStream]" = set()


def close_all() -> None:
    """Send `drain` to every stream of the process and end it; called at shutdown."""
    for stream in tuple(_open_streams):
        stream.send_drain()


def encode_event(frame: bytes) -> bytes:
    """Return a frame as one event, whose id is the cursor after it, `epoch:seq`.

    `room:joined` becomes the event `snapshot` or `replay`; other frames keep their type as the name.
    """
    fields = orjson.loads(frame)
    name = fields["type"]
    if name == "room:joined":
        name = "replay" if fields["recovered"] else "snapshot"
    cursor = f"id: {fields['epoch']}:{fields['seq']}\n" if "seq" in fields else ""
    return f"{cursor}event: {name}\ndata: ".encode() + frame + b"\n\n"


class _EventCache:
    """Caches the last encoded event: the hub delivers the same bytes to every member of a room in turn."""

    frame = encoded = b""

    def encode(self, frame: bytes) -> bytes:
        """Return the event of a frame."""
        if frame is not self.frame:
            self.encoded, self.frame = encode_event(frame), frame
        return self.encoded


_event_cache = _EventCache()


class EventStream:
    """A stream of one room: a member to the hub, and a socket that sends nothing to its identity."""

    def __init__(self, credential: HandshakeCredential | None, address: str | None, hub: RoomHub) -> None:
        self.closed = False
        self.direct_sender = None
        self.close_code: CloseCode | None = None
        self.slow = False
        self.answered = False  # whether its join was answered
        self.identity = Identity(self, credential, address)
        self.memberships = RoomMemberships(self, hub)
        self._address_key = limiter.address_key(address)
        self._holds_slot = False
        self._buffer: list[bytes] = [b"retry: %d\n\n" % random.randint(*_RETRY_MS)]  # noqa: S311  spreads reconnects
        self._buffered_bytes = 0
        self._wakeup = asyncio.Event()
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def subject(self) -> Subject | None:
        """The authenticated subject, None before."""
        return self.identity.subject

    async def admit(self) -> None:
        """Authenticate the stream and count it as a socket; `close_code` says why it was refused."""
        if not await connection_limits.current().acquire(self._address_key, settings.SOCKETS_PER_ADDRESS):
            metrics.count_limited("address_sockets")
            self.close_code = CloseCode.TOO_MANY_MESSAGES
            return
        self._holds_slot = True
        _open_streams.add(self)
        await self.identity.begin()

    # -- member of the hub ------------------------------------------------------------------------------

    def deliver(self, frame: bytes) -> None:
        """Send a frame as an event, without waiting; `room:left` ends the stream."""
        if self.closed or frame.startswith(_SOCKET_ONLY):
            return
        self.answered = True
        self.write(_event_cache.encode(frame))
        if frame.startswith(b'{"type":"room:left"'):
            self.end()

    async def drain(self) -> None:
        """Return at once: a stream joins one room, so long answers cannot add up."""

    def write(self, text: bytes) -> None:
        """Buffer encoded text; a client for which more than MAX_BUFFERED_BYTES wait is cut off."""
        self._buffer.append(text)
        self._buffered_bytes += len(text)
        self._wakeup.set()
        if self._buffered_bytes > MAX_BUFFERED_BYTES and len(self._buffer) > 1 and not self._aborted.done():
            self.slow = True
            metrics.count_close(CloseCode.SLOW_CONSUMER)
            self.end()
            self._aborted.set_result(None)

    def send_drain(self) -> None:
        """Send `drain` with a retry time, and end the stream."""
        retry_ms = random.randint(*_RETRY_MS)  # noqa: S311  spreads reconnects
        self.write(b"retry: %d\n" % retry_ms)
        self.deliver(frames.drain(retry_ms=retry_ms))
        self.end()

    def end(self) -> None:
        """Leave the room and release the connection slots; buffered text is still sent."""
        self.closed = True
        _open_streams.discard(self)
        self.memberships.leave_all()
        self.identity.end()
        if self._holds_slot:
            self._holds_slot = False
            connection_limits.current().release(self._address_key)
        self._wakeup.set()

    # -- socket of its identity -------------------------------------------------------------------------

    async def update_subject(self, fresh: Subject | None, *, recheck_rooms: bool) -> None:
        """Apply the credential's current subject."""
        await self.identity.update_subject(fresh, recheck_rooms=recheck_rooms)

    async def check_rooms(self, subject: Subject) -> None:
        """End the stream where the subject may no longer enter its room."""
        await self.memberships.recheck(subject)

    async def close(self, code: CloseCode, reason: str) -> None:
        """End the stream; the client learns the reason from the status of its next request."""
        self.close_code = code
        self.end()

    # -- response ---------------------------------------------------------------------------------------

    async def run(self, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> str:
        """Send until the stream ends; return why: `ended`, `slow` or `left`.

        A client that is cut off finds its response incomplete, not ended.
        """
        if process_state.is_draining() and not self.closed:
            self.send_drain()  # the request came over a kept-alive connection; its replay is sent first
        send_task = asyncio.create_task(self._send(send))
        disconnect_task = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({send_task, disconnect_task, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
            if send_task.done():
                send_task.result()  # raises the exception of `send`
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
        """Wait for frames; buffer a comment where none comes for long."""
        self._wakeup.clear()
        try:
            async with asyncio.timeout(random.uniform(*KEEPALIVE_SECONDS)):  # noqa: S311  spreads the writes
                await self._wakeup.wait()
        except TimeoutError:
            self._buffer.append(_KEEPALIVE)


async def _wait_for_disconnect(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
