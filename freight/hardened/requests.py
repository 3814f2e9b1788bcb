"""An HTTP request: its application waits for a slow reader instead of filling the memory."""

import asyncio
from typing import Any
from weakref import WeakSet

from daphne.http_protocol import HTTPFactory, WebRequest

from freight.hardened import flow


class _Resumption:
    """The producer that Twisted tells when the transport is empty, or gone."""

    def __init__(self) -> None:
        self.come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802
        if not self.come.done():
            self.come.set_result(None)

    stopProducing = resumeProducing  # noqa: N815

    def pauseProducing(self) -> None:  # noqa: N802
        """The transport has enough; the application waits anyway."""


class Request(WebRequest):  # type: ignore[misc]
    """One request and its response."""

    def handle_reply(self, message: dict[str, Any]) -> None:
        """This will write a part of the response; while the process drains it is the connection's last."""
        if message.get("type") == "http.response.start" and self.server.draining and self.channel is not None:
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"connection", [b"close"])
        super().handle_reply(message)

    async def drained(self) -> None:
        """This will wait while much has not been taken by the client, and end when it goes."""
        transport = self.channel.transport
        if flow.waiting(transport) <= flow.PAUSE_BYTES:
            return
        self.server.stalls.watch(transport)
        resumption = _Resumption()
        self.registerProducer(resumption, True)
        try:
            await resumption.come
        finally:
            if self.channel is not None:
                self.unregisterProducer()
            self.producer = None

    def finish(self) -> None:
        """This will end the response, and look after a reader who does not take the rest of it."""
        transport = self.channel.transport if self.channel is not None else None
        super().finish()
        if transport is not None and flow.waiting(transport) > transport.bufferSize:
            self.server.stalls.watch(transport)


class RequestFactory(HTTPFactory):  # type: ignore[misc]
    """Makes requests; knows the connections, so that idle ones can be closed when the process ends."""

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.channels: WeakSet[Any] = WeakSet()

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
        """This will make the protocol of a fresh connection."""
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = Request
        self.channels.add(protocol._channel)  # noqa: SLF001
        return protocol
