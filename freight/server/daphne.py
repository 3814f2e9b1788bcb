"""The server of every role: Daphne with our requests and sockets, its applications reaped at once."""

import asyncio
import time
from functools import partial
from importlib import import_module
from typing import Any

import structlog
from daphne.server import Server
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner

from freight.server.drain import Drain
from freight.server.http_requests import RequestFactory
from freight.server.transport_buffer import StalledConnections
from freight.server.websocket.protocol import SocketFactory, SocketProtocol
from freight.server.websocket.receive_queue import ReceiveQueue

# Twisted puts the installed reactor where its types expect a module.
reactor: Any = import_module("twisted.internet.reactor")

log = structlog.get_logger(__name__)


class DaphneServer(Server):  # type: ignore[misc]
    """One server. `drain` is what it does on SIGTERM and SIGINT."""

    def __init__(
        self, *, drain: Drain, stalled_connections: StalledConnections | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.drain = drain
        self.stalled_connections = stalled_connections or StalledConnections()
        self.ports: list[Any] = []
        self._disconnected: set[Any] = set()

    @property
    def draining(self) -> bool:
        """Whether the process is going to end."""
        return self.drain.started

    def run(self) -> None:
        """Serve until it is told to stop, and then has drained."""
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = RequestFactory(self)
        self.ws_factory = SocketFactory(self, server=self.server_name)
        self.ws_factory.setProtocolOptions(
            allowNullOrigin=True,  # the application looks at origins
            openHandshakeTimeout=self.websocket_handshake_timeout,
            autoPingTimeout=self.ping_timeout,
            maxMessagePayloadSize=self.websocket_max_message_size,
            maxFramePayloadSize=self.websocket_max_frame_size,
        )
        self.ws_factory.share_options()
        observers: list[Any] = [_log_failure]
        globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)
        loop = reactor._asyncioEventloop
        asyncio.set_event_loop(loop)
        for description in self.endpoints:
            endpoint: Any = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
            deferred = endpoint.listen(self.http_factory)
            deferred.addCallbacks(self.ports.append, self.listen_error)
        if self.abort_start:
            raise SystemExit(1)
        reactor.callLater(1, self.application_checker)
        reactor.callLater(2, self.timeout_checker)
        reactor.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        self.drain.watch(self, loop)
        if self.ready_callable:
            self.ready_callable()
        reactor.run(installSignalHandlers=False)

    def stop(self) -> None:
        """End the process now."""
        if reactor.running:
            reactor.stop()
        else:
            self.abort_start = True

    # -- applications ---------------------------------------------------------------------------------------

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> ReceiveQueue | None:
        """Start the application of one request or socket and watch for its end."""
        details = self.connections.get(protocol)
        if details is None:
            return None
        scope.setdefault("asgi", {"version": "3.0"})
        if isinstance(protocol, SocketProtocol):
            scope.setdefault("extensions", {})["freight.frames"] = protocol.send_buffer
        queue = ReceiveQueue()
        task = asyncio.ensure_future(
            self.application(scope=scope, receive=queue.get, send=partial(self.handle_reply, protocol))
        )
        details["application_instance"] = task
        task.add_done_callback(lambda _: self._reap(protocol))
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Hand an event of the application to its connection, and wait for a slow reader of a stream."""
        await super().handle_reply(protocol, message)
        if message.get("more_body") and message["type"] == "http.response.body":
            if protocol.channel is None:
                await asyncio.sleep(0)  # gone: let the application hear of it before it sends more
            else:
                await protocol.drained()

    def _reap(self, protocol: Any) -> None:
        """Forget an application that is over, and say what went wrong with one that failed."""
        self._disconnected.discard(protocol)
        details = self.connections.get(protocol)
        task = details and details.get("application_instance")
        if not details or not task or not task.done():
            return
        error = None if task.cancelled() else task.exception()
        if _has_unfinished_response(protocol):
            # Ended or failed half-way: no part may look like the whole, and no second answer begin within it.
            self.protocol_disconnected(protocol)
            protocol.channel.transport.abortConnection()
        if error:
            log.error("application failed", exc_info=error)
            if not details.get("disconnected"):
                protocol.handle_exception(error)
        del details["application_instance"]
        if details.get("disconnected"):
            del self.connections[protocol]

    def protocol_disconnected(self, protocol: Any) -> None:
        """Note the end of a connection, and forget it where its application is over."""
        details = self.connections.get(protocol)
        if details is None:
            return
        super().protocol_disconnected(protocol)
        if "application_instance" not in details:
            del self.connections[protocol]
        else:
            self._disconnected.add(protocol)

    def application_checker(self) -> None:
        """End applications that live on long after their connection; Daphne looks at all others too."""
        cutoff = time.time() - self.application_close_timeout
        for protocol in tuple(self._disconnected):
            if self.connections[protocol]["disconnected"] < cutoff:
                log.warning("application killed", connection=repr(protocol))
                self.connections[protocol]["application_instance"].cancel()
        reactor.callLater(1, self.application_checker)

    def kill_all_applications(self) -> Any:
        """Cancel what still runs; Daphne expects every connection to have an application."""
        for details in self.connections.values():
            details.setdefault("application_instance", _finished_future())
        return super().kill_all_applications()


def _log_failure(event: dict[str, Any]) -> None:
    """Log what broke inside Twisted or Autobahn, and nothing of what they say of every connection."""
    failure = event.get("log_failure")
    if failure is not None:
        log.error("server broke", error=repr(failure.value), trace=failure.getTraceback()[-2000:])


def _has_unfinished_response(protocol: Any) -> bool:
    return bool(getattr(protocol, "_response_started", False) and not protocol.finished and protocol.channel)


def _finished_future() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_event_loop().create_future()
    future.set_result(None)
    return future
