"""One stream of Server-Sent Events: a member of the hub, whose frames leave as lines of text/event-stream."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from django.conf import settings

from monitoring import health
from ratelimits import limiter
from realtime import census, metrics, protocol
from realtime.auth import Offer
from realtime.hub import RoomHub
from realtime.identity import Identity
from realtime.membership import Membership
from realtime.protocol import Close
from shipments.access import Subject

Send = Callable[[dict[str, Any]], Awaitable[None]]
# What may wait for one stream beside what the server keeps.
MOST_BYTES: Final = 1024 * 1024
# Nothing is silent longer than proxies and browsers bear.
BEAT_SECONDS: Final = (15.0, 25.0)
_BEAT: Final = b": still here\n\n"
_RETRY_MS: Final = (500, 3000)
# Answers of a socket that the response itself gives here.
_NOT_FOR_STREAMS: Final = (b'{"type":"error"', b'{"type":"welcome"')

_open: "set[EventStream]" = set()


def end_all() -> None:
    """This will end every stream of the process, each told when to come again: the process is going to stop."""
    for stream in tuple(_open):
        stream.say_farewell()


def event(frame: bytes) -> bytes:
    """This will return a socket's frame as one event, whose id is the cursor behind it: `epoch:seq`.

    The answer to a join becomes `snapshot` or `replay`; the others keep their type.
    """
    told = orjson.loads(frame)
    name = told["type"]
    if name == "room:joined":
        name = "replay" if told["recovered"] else "snapshot"
    cursor = f"id: {told['epoch']}:{told['seq']}\n" if "seq" in told else ""
    return f"{cursor}event: {name}\ndata: ".encode() + frame + b"\n\n"


class _Latest:
    """The event that was made last: the hub hands the same bytes to every member of a room in turn."""

    frame = made = b""

    def of(self, frame: bytes) -> bytes:
        if frame is not self.frame:
            self.made, self.frame = event(frame), frame
        return self.made


_latest = _Latest()


class EventStream:
    """Somebody's stream of one room: to the hub a member, to its identity a socket that only listens."""

    def __init__(self, offer: Offer | None, address: str | None, hub: RoomHub) -> None:
        self.closed = False
        self.line = None
        self.refused: Close | None = None
        self.slow = False
        self.told = False  # of its room
        self.identity = Identity(self, offer, address)
        self.membership = Membership(self, hub)
        self._address_key = limiter.address_key(address)
        self._counted = False
        self._waiting: list[bytes] = [b"retry: %d\n\n" % random.randint(*_RETRY_MS)]  # noqa: S311
        self._size = 0
        self._news = asyncio.Event()
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def subject(self) -> Subject | None:
        """Who listens, None until that is known."""
        return self.identity.subject

    async def admit(self) -> None:
        """This will see who it is and count it among the sockets; `refused` says why it may not stay."""
        if not await census.current().take(self._address_key, settings.SOCKETS_PER_ADDRESS):
            metrics.limited("address_sockets")
            self.refused = Close.TOO_MANY_MESSAGES
            return
        self._counted = True
        _open.add(self)
        await self.identity.begin()

    # -- what the hub calls -----------------------------------------------------------------------------

    def deliver(self, frame: bytes) -> None:
        """This will send a frame as an event, without waiting; the end of its room is the end of the stream."""
        if self.closed or frame.startswith(_NOT_FOR_STREAMS):
            return
        self.told = True
        self.put(_latest.of(frame))
        if frame.startswith(b'{"type":"room:left"'):
            self.end()

    async def free(self) -> None:
        """This will not wait: a stream has one room, and its first answer may be as long as it is."""

    def put(self, text: bytes) -> None:
        """This will send ready text; a reader for whom too much waits is cut."""
        self._waiting.append(text)
        self._size += len(text)
        self._news.set()
        if self._size > MOST_BYTES and len(self._waiting) > 1 and not self._cut.done():
            self.slow = True
            metrics.closed(Close.SLOW_CONSUMER)
            self.end()
            self._cut.set_result(None)

    def say_farewell(self) -> None:
        """This will end the stream, told when to come again."""
        retry_ms = random.randint(*_RETRY_MS)  # noqa: S311  spreads the return
        self.put(b"retry: %d\n" % retry_ms)
        self.deliver(protocol.drain(retry_ms=retry_ms))
        self.end()

    def end(self) -> None:
        """This will leave the room; what waits still goes out."""
        self.closed = True
        _open.discard(self)
        self.membership.leave_all()
        self.identity.end()
        if self._counted:
            self._counted = False
            census.current().give_back(self._address_key)
        self._news.set()

    # -- what its identity calls ------------------------------------------------------------------------

    async def recognise(self, fresh: Subject | None, *, anew: bool) -> None:
        """This will take what the credential stands for now."""
        await self.identity.recognise(fresh, anew=anew)

    async def check_rooms(self, subject: Subject) -> None:
        """This will end the stream where the subject may not enter its room any more."""
        await self.membership.check(subject)

    async def close(self, code: Close, reason: str) -> None:
        """This will end the stream as it would a socket; the client's next request is answered with why."""
        self.refused = code
        self.end()

    # -- what the response does -------------------------------------------------------------------------

    async def run(self, receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> str:
        """This will send until the stream ends, and return why it did.

        A reader who is cut finds the response broken off, not ended.
        """
        if health.draining() and not self.closed:
            self.say_farewell()  # it came by a connection that was kept; what it missed goes out first
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving, self._cut}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # raises what it met
                return "ended"
            return "slow" if self.slow else "left"
        finally:
            self.end()
            sending.cancel()
            leaving.cancel()

    async def _send(self, send: Send) -> None:
        while True:
            if self._waiting:
                text = b"".join(self._waiting)
                self._waiting.clear()
                self._size = 0
                await send({"type": "http.response.body", "body": text, "more_body": True})
            elif self.closed:
                await send({"type": "http.response.body", "body": b""})
                return
            else:
                await self._wait()

    async def _wait(self) -> None:
        """This will wait for news, and make some where there are none for long."""
        self._news.clear()
        try:
            async with asyncio.timeout(random.uniform(*BEAT_SECONDS)):  # noqa: S311  spreads the beats
                await self._news.wait()
        except TimeoutError:
            self._waiting.append(_BEAT)


async def _left(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
