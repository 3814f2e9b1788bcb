"""Daphne with what it lacks: finished requests reaped at once, broken ones cut, a direct way for prepared frames.

The hub hands a frame to a socket by the ASGI extension `freight.frames`; on any other server it falls back
to `send`. This module reaches into Daphne's internals (tests pin them) and must be imported after the
reactor is installed.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from daphne.server import Server


class HardenedDaphne(Server):  # type: ignore[misc]
    """The server of every role."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """This will start the application of one request or socket and watch for its end."""
        if scope["type"] == "websocket":
            scope.setdefault("extensions", {})["freight.frames"] = {"write": _writer(protocol)}
        queue = super().create_application(protocol, scope)
        details = self.connections.get(protocol)
        if details and "application_instance" in details:
            details["application_instance"].add_done_callback(lambda _: self._reap(protocol))
        return queue

    def _reap(self, protocol: Any) -> None:
        """This will forget a request that is over, which Daphne itself does once a second."""
        details = self.connections.get(protocol)
        task = details and details.get("application_instance")
        if not task or not task.done() or task.cancelled():
            return
        if task.exception():
            self._break_off(protocol)
            return  # Daphne's checker reports what went wrong
        del details["application_instance"]
        if details.get("disconnected"):
            del self.connections[protocol]

    def _break_off(self, protocol: Any) -> None:
        """This will cut the connection of an answer that failed under way, so that no part looks like the whole.

        Daphne would try to begin a second answer within the first, and its checker would die of it.
        """
        if getattr(protocol, "_response_started", False) and not protocol.finished and protocol.channel:
            self.protocol_disconnected(protocol)
            protocol.channel.transport.abortConnection()

    def protocol_disconnected(self, protocol: Any) -> None:
        """This will note the end of a connection, and forget it where its application is over."""
        details = self.connections.get(protocol)
        if details is None:
            return
        super().protocol_disconnected(protocol)
        if "application_instance" not in details:
            del self.connections[protocol]

    def kill_all_applications(self) -> Any:
        """This will cancel what still runs; Daphne expects every connection to have an application."""
        for details in self.connections.values():
            details.setdefault("application_instance", _over())
        return super().kill_all_applications()


def _writer(protocol: Any) -> Callable[[bytes], None]:
    def write(frame: bytes) -> None:
        if protocol.state == protocol.STATE_OPEN:
            protocol.sendMessage(frame, False)

    return write


def _over() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_event_loop().create_future()
    future.set_result(None)
    return future
