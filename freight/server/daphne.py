"""Daphne with our HTTP requests and WebSockets; an application that ends is reaped at once."""

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
from freight.server.stalled_connections import StalledConnections
from freight.server.websocket.protocol import WebSocketFactory, WebSocketProtocol
from freight.server.websocket.receive_queue import ReceiveQueue

# The installed reactor stands in `sys.modules` where type checkers expect a module.
reactor: Any = import_module("twisted.internet.reactor")

log = structlog.get_logger(__name__)


class DaphneServer(Server):  # type: ignore[misc]  # Daphne is untyped
    """One server; `drain` is started by SIGTERM and SIGINT. A request's body has at most `max_body_bytes`."""

    def __init__(
        self,
        *,
        drain: Drain,
        max_body_bytes: int,
        stalled_connections: StalledConnections | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.drain = drain
        self.max_body_bytes = max_body_bytes
        self.stalled_connections = stalled_connections or StalledConnections()
        self.ports: list[Any] = []
        self._disconnected: set[Any] = set()

    @property
    def draining(self) -> bool:
        """Whether the drain has started."""
        return self.drain.started

    def run(self) -> None:
        """Serve until the drain has ended. The reactor is installed and not running."""
        self.connections: dict[Any, dict[str, Any]] = {}
        self.http_factory = RequestFactory(self)
        self.ws_factory = WebSocketFactory(self)
        observers: list[Any] = [_log_failure]
        globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)
        loop = reactor._asyncioEventloop  # noqa: SLF001  Twisted does not expose it
        asyncio.set_event_loop(loop)
        for description in self.endpoints:
            endpoint: Any = serverFromString(reactor, description)  # type: ignore[no-untyped-call]  # no hints in Twisted
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
        """Stop the reactor now."""
        if reactor.running:
            reactor.stop()
        else:
            self.abort_start = True

    # -- applications ---------------------------------------------------------------------------------------

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> ReceiveQueue | None:
        """Start the application of a request or WebSocket; returns its queue, None where the client is gone."""
        details = self.connections.get(protocol)
        if details is None:
            return None
        scope.setdefault("asgi", {"version": "3.0"})
        if isinstance(protocol, WebSocketProtocol):
            scope.setdefault("extensions", {})["freight.frames"] = protocol.send_buffer
        queue = ReceiveQueue()
        task = asyncio.ensure_future(
            self.application(scope=scope, receive=queue.get, send=partial(self.handle_reply, protocol))
        )
        details["application_instance"] = task
        task.add_done_callback(lambda _: self._reap(protocol))
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Send an event of the application to its connection; a stream's waits for a slow reader (backpressure)."""
        await super().handle_reply(protocol, message)
        if message.get("more_body") and message["type"] == "http.response.body":
            if protocol.channel is None:
                await asyncio.sleep(0)  # gone: let http.disconnect reach the application before it sends more
            else:
                await protocol.drain()

    def _reap(self, protocol: Any) -> None:
        """Remove an application that has ended; abort its half-sent response and log its exception."""
        self._disconnected.discard(protocol)
        details = self.connections.get(protocol)
        task = details and details.get("application_instance")
        if not details or not task or not task.done():
            return
        error = None if task.cancelled() else task.exception()
        if _has_unfinished_response(protocol):
            # A part must not look like a complete response, and no error page may begin within it.
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
        """Record that a client has disconnected; remove the connection where its application has ended."""
        details = self.connections.get(protocol)
        if details is None:
            return
        super().protocol_disconnected(protocol)
        if "application_instance" not in details:
            del self.connections[protocol]
        else:
            self._disconnected.add(protocol)

    def application_checker(self) -> None:
        """Cancel applications that outlive their connection for long.

        Daphne's own looks at every connection each second.
        """
        cutoff = time.time() - self.application_close_timeout
        for protocol in tuple(self._disconnected):
            if self.connections[protocol]["disconnected"] < cutoff:
                # Not its repr, which has the query.
                log.warning("application killed", connection=type(protocol).__name__)
                self.connections[protocol]["application_instance"].cancel()
        reactor.callLater(1, self.application_checker)

    def kill_all_applications(self) -> Any:
        """Cancel all applications; Daphne's expects every connection to have one."""
        for details in self.connections.values():
            details.setdefault("application_instance", _finished_future())
        return super().kill_all_applications()


def _log_failure(event: dict[str, Any]) -> None:
    """Log failures inside Twisted, and none of its messages about every connection."""
    failure = event.get("log_failure")
    if failure is not None:
        log.error("server broke", error=repr(failure.value), trace=failure.getTraceback()[-2000:])


def _has_unfinished_response(protocol: Any) -> bool:
    return bool(getattr(protocol, "_response_started", False) and not protocol.finished and protocol.channel)


def _finished_future() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_event_loop().create_future()
    future.set_result(None)
    return future
