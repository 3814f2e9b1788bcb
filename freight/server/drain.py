"""The end of a serving process: nothing that was begun is lost, and everybody is told.

1. The application hears of it (readiness says no, streams end); the listening sockets take what stands in their
   queues and close.
2. Every socket gets the farewell frame; the sockets are closed with 4503, spread over seconds.
3. Requests under way finish, each the last of its connection; idle connections are closed last, since a proxy
   may be about to use one.
4. The reactor stops. What is still there after `seconds` is cut.
"""

import asyncio
import os
import random
import select
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python import failure

from freight.server.websocket.protocol import SocketProtocol

RESTARTING: Final = 4503
_REASON: Final = "The server restarts; come again."
# So many sockets a second are closed, but all of them within SPREAD_SECONDS.
_CLOSES_PER_SECOND: Final = 200
SPREAD_SECONDS: Final = 3.0
# How long an idle connection is kept open for a request that may be on its way.
_LINGER_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


class Drain:
    """What a server does when it is told to stop. `farewell` makes the frame for a socket that shall come
    again in so many milliseconds; each of `on_begin` tells a part of the application.
    """

    def __init__(
        self,
        *,
        seconds: float = 10.0,
        make_drain_frame: Callable[[int], bytes] | None = None,
        on_start: Sequence[Callable[[], None]] = (),
    ) -> None:
        self.started = False
        self._seconds = seconds
        self._make_drain_frame = make_drain_frame
        self._on_start = on_start
        self._task: asyncio.Task[None] | None = None

    def watch(self, server: Any, loop: asyncio.AbstractEventLoop) -> None:
        """Begin on SIGTERM or SIGINT; a second SIGINT ends the process at once."""
        self._server = server
        loop.add_signal_handler(signal.SIGTERM, self.start)
        loop.add_signal_handler(signal.SIGINT, lambda: server.stop() if self.started else self.start())

    def start(self) -> None:
        """Begin to drain; saying it again changes nothing."""
        if not self.started:
            self.started = True
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        log.info("draining", connections=len(self._server.connections))
        try:
            for callback in self._on_start:
                callback()
            for port in self._server.ports:
                _stop_accepting(port)
            async with asyncio.timeout(self._seconds):
                await self._close_sockets()
                await self._finish_requests()
            log.info("drained")
        except TimeoutError:
            log.warning("drain cut short", connections=len(self._server.connections))
        finally:
            self._server.stop()

    async def _close_sockets(self) -> None:
        notified: set[SocketProtocol] = set()
        while sockets := [each for each in self._server.connections if isinstance(each, SocketProtocol)]:
            newly_open = [each for each in sockets if each not in notified and each.state == each.STATE_OPEN]
            random.shuffle(newly_open)
            for each in newly_open:
                notified.add(each)
                if self._make_drain_frame is not None:
                    each.send_buffer.write(self._make_drain_frame(random.randint(500, 3000)))
            pause = min(1 / _CLOSES_PER_SECOND, SPREAD_SECONDS / max(1, len(newly_open)))
            began, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
            for number, each in enumerate(newly_open):
                if each.state == each.STATE_OPEN:
                    each.sendClose(code=RESTARTING, reason=_REASON)
                if (delay := began + number * pause - loop.time()) > 0:
                    await asyncio.sleep(delay)
            await asyncio.sleep(_POLL_SECONDS)

    async def _finish_requests(self) -> None:
        loop = asyncio.get_running_loop()
        linger_until = loop.time() + _LINGER_SECONDS
        while channels := [each for each in self._server.http_factory.channels if _is_open(each)]:
            await self._close_sockets()  # a kept connection may have become one
            if loop.time() >= linger_until:
                for channel in channels:
                    if not channel.requests and not _is_readable(channel.transport):
                        channel.loseConnection()
            await asyncio.sleep(_POLL_SECONDS)
        while self._server.connections:
            await self._close_sockets()
            await asyncio.sleep(_POLL_SECONDS)  # Daphne's own dictionary, which nobody announces


def _is_open(channel: Any) -> bool:
    transport = channel.transport
    if transport is None or not transport.connected:
        return False
    return transport.protocol is channel  # else a socket has taken it over


def _stop_accepting(port: Any) -> None:
    """Close a listening socket so that nobody who has connected is turned away.

    A unix socket loses its name first, so that its queue can only get shorter.
    """
    path = getattr(port, "_bindPath", None)
    if path is not None:
        with suppress(OSError):
            os.unlink(path)
    port.stopReading()
    while _is_readable(port):
        port.doRead()
    # The unix one would unlink the socket of whoever comes after us.
    reason = failure.Failure(ConnectionDone())  # type: ignore[no-untyped-call]
    tcp.Port.connectionLost(port, reason)  # type: ignore[no-untyped-call]


def _is_readable(descriptor: Any) -> bool:
    poll = select.poll()
    poll.register(descriptor.fileno(), select.POLLIN)
    return bool(poll.poll(0))
