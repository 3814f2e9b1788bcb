"""The drain: how a server ends on SIGTERM without losing a request or a WebSocket without a close frame.

1. The application is notified (readiness fails, event streams end); the listening sockets accept what is in their
   backlog and close.
2. Every WebSocket gets the drain frame and a close 4503, spread over seconds.
3. Requests in progress finish, each the last of its connection; idle connections are closed last, since a proxy may
   be about to use one.
4. The reactor stops. What is left after `seconds` is aborted.
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
from websockets.protocol import OPEN

from freight.server.websocket.protocol import WebSocketProtocol

RESTARTING: Final = 4503
_REASON: Final = "The server restarts; come again."
# WebSockets are closed at this rate, or faster where it would take longer than SPREAD_SECONDS.
_CLOSES_PER_SECOND: Final = 200
SPREAD_SECONDS: Final = 3.0
# How long idle connections are kept open for a request that may be on its way.
_LINGER_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02

log = structlog.get_logger(__name__)


class Drain:
    """Ends a server within `seconds`.

    `make_drain_frame(retry_ms)` returns the payload that asks a client to reconnect after that time; the functions
    of `on_start` notify the application.
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
        """Start on SIGTERM or SIGINT; a second SIGINT stops the reactor at once."""
        self._server = server
        loop.add_signal_handler(signal.SIGTERM, self.start)
        loop.add_signal_handler(signal.SIGINT, lambda: server.stop() if self.started else self.start())

    def start(self) -> None:
        """Start to drain, unless it has started."""
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
        notified: set[WebSocketProtocol] = set()
        while sockets := [each for each in self._server.connections if isinstance(each, WebSocketProtocol)]:
            newly_open = [each for each in sockets if each not in notified and each.state is OPEN]
            random.shuffle(newly_open)
            for each in newly_open:
                notified.add(each)
                if self._make_drain_frame is not None:
                    each.send_buffer.write(self._make_drain_frame(random.randint(500, 3000)))  # noqa: S311  jitter
            pause = min(1 / _CLOSES_PER_SECOND, SPREAD_SECONDS / max(1, len(newly_open)))
            began, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
            for number, each in enumerate(newly_open):
                if each.state is OPEN:
                    each.close(RESTARTING, _REASON)
                if (delay := began + number * pause - loop.time()) > 0:
                    await asyncio.sleep(delay)
            await asyncio.sleep(_POLL_SECONDS)

    async def _finish_requests(self) -> None:
        loop = asyncio.get_running_loop()
        linger_until = loop.time() + _LINGER_SECONDS
        while channels := [each for each in self._server.http_factory.channels if _is_open(each)]:
            await self._close_sockets()  # a keep-alive connection may have been upgraded
            if loop.time() >= linger_until:
                for channel in channels:
                    if not channel.requests and not _is_readable(channel.transport):
                        channel.loseConnection()
            await asyncio.sleep(_POLL_SECONDS)
        while self._server.connections:
            await self._close_sockets()
            await asyncio.sleep(_POLL_SECONDS)  # Daphne's dictionary: there is no event to wait for


def _is_open(channel: Any) -> bool:
    transport = channel.transport
    if transport is None or not transport.connected:
        return False
    return transport.protocol is channel  # else it has been upgraded to a WebSocket


def _stop_accepting(port: Any) -> None:
    """Accept the backlog of a listening socket, then close it: no connected client is refused.

    A unix socket is unlinked first, so that its backlog can only shrink.
    """
    path = getattr(port, "_bindPath", None)
    if path is not None:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108  bytes, which Path does not take
    port.stopReading()
    while _is_readable(port):
        port.doRead()
    # Not the method of the unix port: it would unlink the socket of our successor.
    reason = failure.Failure(ConnectionDone())  # type: ignore[no-untyped-call]  # no hints in Twisted
    tcp.Port.connectionLost(port, reason)  # type: ignore[no-untyped-call]  # no hints in Twisted


def _is_readable(descriptor: Any) -> bool:
    poll = select.poll()
    poll.register(descriptor.fileno(), select.POLLIN)
    return bool(poll.poll(0))
