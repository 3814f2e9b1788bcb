"""Fan-out: frames to all members of a room, in one call to the server for those that it can write to directly."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from realtime import metrics


class DirectSender(Protocol):
    """The server's ASGI extension `freight.frames`: a socket's send buffer. Only `drain` waits.

    freight/server/websocket/send_buffer.py implements it; neither app imports the other's class.
    """

    def write(self, frame: bytes, /) -> None: ...
    def on_frame(self, allow: Callable[[], bool], /) -> None:
        """Call `allow` for each ping, pong and continuation frame received; False stops reading from the client."""

    async def drain(self) -> None:
        """Wait until what was written has left the buffer, or the socket is gone."""

    def broadcast(self, frames: Sequence[bytes], senders: Sequence[Any], /) -> None:
        """Write the same frames to many senders, of which this is one."""


def broadcast(frames: Sequence[bytes], recipients: Mapping[Any, DirectSender | None]) -> None:
    """Deliver frames to many recipients: in one call to those with a direct sender, one by one to the others."""
    senders = [sender for sender in recipients.values() if sender is not None]
    if senders:
        for frame in frames:
            metrics.count_sent(frame, len(senders))
        senders[0].broadcast(frames, senders)
    if len(senders) < len(recipients):
        for recipient in [each for each, sender in recipients.items() if sender is None]:
            for frame in frames:
                recipient.deliver(frame)
