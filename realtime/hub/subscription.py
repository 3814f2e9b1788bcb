"""This process's one subscription to the channel layer: the way in of all hints.

A hint may get lost and nothing depends on it. What is kept here is the knowledge whether hints come at all:
once a second the subscription sends itself an echo through Redis. Without one it is *deaf*, and the hub looks
at the table more often; deaf for long, it is made anew with all its groups.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import structlog
from channels.layers import get_channel_layer

from realtime.protocol.room_names import CONTROL_GROUP

SUBSCRIBE_DEADLINE_SECONDS: Final = 1.0
ECHO_SECONDS: Final = 1.0
ECHO_DEADLINE_SECONDS: Final = 0.5
RESUBSCRIBE_AFTER_SECONDS: Final = 4.0

log = structlog.get_logger(__name__)


class Subscription:
    """Groups that this process listens to, and whether it hears."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        self.hints_lost = False
        self.resubscriptions = 0
        self._on_message = on_message
        self._layer = get_channel_layer()
        identifier = uuid.uuid4().hex
        self._channel = f"{getattr(self._layer, 'prefix', 'asgi')}specific.{identifier}"
        self._own_group = f"hub.{identifier}"
        self._groups: set[str] = set()
        self._subscribed: set[str] = set()
        self._last_echo_at = time.monotonic()
        self._echo_received = asyncio.Event()

    async def subscribe(self, group: str) -> None:
        """Ask for a group's messages; while Redis does not answer, it is asked for later."""
        self._groups.add(group)
        if not self.hints_lost:
            await self._subscribe(group)

    async def _subscribe(self, group: str) -> None:
        try:
            await asyncio.wait_for(self._layer.group_add(group, self._channel), SUBSCRIBE_DEADLINE_SECONDS)
            self._subscribed.add(group)
        except Exception as error:
            self.hints_lost = True
            log.debug("group not heard", group=group, error=repr(error))

    async def unsubscribe(self, group: str) -> None:
        """End the interest in a group."""
        self._groups.discard(group)
        self._subscribed.discard(group)
        try:
            await asyncio.wait_for(self._layer.group_discard(group, self._channel), SUBSCRIBE_DEADLINE_SECONDS)
        except Exception as error:
            log.debug("group not left", group=group, error=repr(error))

    # -- running ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to receive."""
        self._layer.add_listener(self._channel, self._on_layer_message)
        await asyncio.gather(self.subscribe(self._own_group), self.subscribe(CONTROL_GROUP))

    def _on_layer_message(self, message: dict[str, Any]) -> None:
        try:
            if message["type"] == "echo":
                self._echo_received.set()
            else:
                self._on_message(message)
        except Exception as error:
            log.warning("hint not taken", error=repr(error))

    async def watch_forever(self) -> None:
        """Send the echoes, and mend what they show to be broken."""
        while True:
            await asyncio.sleep(ECHO_SECONDS)
            sent = await self._send_echo()
            received = sent and await self._wait_for_echo()
            if received is self.hints_lost:
                log.warning("hints come again" if received else "hints do not come")
            self.hints_lost = not received
            if sent and not received and time.monotonic() - self._last_echo_at > RESUBSCRIBE_AFTER_SECONDS:
                await self._resubscribe()
            for group in tuple(self._groups - self._subscribed) if received else ():
                await self._subscribe(group)

    async def _send_echo(self) -> bool:
        """Send an echo, and say whether Redis took it."""
        self._echo_received.clear()
        try:
            await asyncio.wait_for(self._layer.group_send(self._own_group, {"type": "echo"}), ECHO_DEADLINE_SECONDS)
        except Exception:
            return False
        return True

    async def _wait_for_echo(self) -> bool:
        try:
            await asyncio.wait_for(self._echo_received.wait(), ECHO_DEADLINE_SECONDS)
        except TimeoutError:
            return False
        self._last_echo_at = time.monotonic()
        return True

    async def _resubscribe(self) -> None:
        """Begin again on new connections: a subscription can be dead without an error."""
        self.resubscriptions += 1
        self._last_echo_at = time.monotonic()
        self._subscribed.clear()
        await self.close()
        self._layer.add_listener(self._channel, self._on_layer_message)
        await self._subscribe(self._own_group)

    async def close(self) -> None:
        """End the subscription."""
        try:
            await asyncio.wait_for(self._layer.flush(), SUBSCRIBE_DEADLINE_SECONDS)
        except Exception as error:
            log.debug("old subscription not closed", error=repr(error))
