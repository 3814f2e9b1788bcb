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

LISTEN_SECONDS: Final = 1.0
ECHO_SECONDS: Final = 1.0
ECHO_DEADLINE_SECONDS: Final = 0.5
RENEW_AFTER_SECONDS: Final = 4.0
# Heard by every process: what concerns logins rather than rooms.
CONTROL: Final = "control"

log = structlog.get_logger(__name__)


class Subscription:
    """Groups that this process listens to, and whether it hears."""

    def __init__(self, take: Callable[[dict[str, Any]], None]) -> None:
        self.deaf = False
        self.renewed = 0
        self._take = take
        self._layer = get_channel_layer()
        identifier = uuid.uuid4().hex
        self._channel = f"{getattr(self._layer, 'prefix', 'asgi')}specific.{identifier}"
        self._own = f"hub.{identifier}"
        self._wanted: set[str] = set()
        self._heard: set[str] = set()
        self._heard_at = time.monotonic()
        self._echoed = asyncio.Event()

    async def listen(self, group: str) -> None:
        """This will ask for a group's messages; while Redis does not answer, it is asked for later."""
        self._wanted.add(group)
        if not self.deaf:
            await self._listen(group)

    async def _listen(self, group: str) -> None:
        try:
            await asyncio.wait_for(self._layer.group_add(group, self._channel), LISTEN_SECONDS)
            self._heard.add(group)
        except Exception as error:  # noqa: BLE001  a subscription is only a hint's way in
            self.deaf = True
            log.debug("group not heard", group=group, error=repr(error))

    async def forget(self, group: str) -> None:
        """This will end the interest in a group."""
        self._wanted.discard(group)
        self._heard.discard(group)
        try:
            await asyncio.wait_for(self._layer.group_discard(group, self._channel), LISTEN_SECONDS)
        except Exception as error:  # noqa: BLE001  a message for a room that is not there is dropped
            log.debug("group not left", group=group, error=repr(error))

    # -- running ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """This will begin to receive."""
        self._layer.hear(self._channel, self._arrived)
        await asyncio.gather(self.listen(self._own), self.listen(CONTROL))

    def _arrived(self, message: dict[str, Any]) -> None:
        try:
            if message["type"] == "echo":
                self._echoed.set()
            else:
                self._take(message)
        except Exception as error:  # noqa: BLE001  one bad message must not deafen the process
            log.warning("hint not taken", error=repr(error))

    async def watch_forever(self) -> None:
        """This will send the echoes, and mend what they show to be broken."""
        while True:
            await asyncio.sleep(ECHO_SECONDS)
            sent = await self._send_echo()
            heard = sent and await self._hears()
            if heard is self.deaf:
                log.warning("hints come again" if heard else "hints do not come")
            self.deaf = not heard
            if sent and not heard and time.monotonic() - self._heard_at > RENEW_AFTER_SECONDS:
                await self._renew()
            for group in tuple(self._wanted - self._heard) if heard else ():
                await self._listen(group)

    async def _send_echo(self) -> bool:
        """This will send an echo, and say whether Redis took it."""
        self._echoed.clear()
        try:
            await asyncio.wait_for(self._layer.group_send(self._own, {"type": "echo"}), ECHO_DEADLINE_SECONDS)
        except Exception:  # noqa: BLE001  that is the answer
            return False
        return True

    async def _hears(self) -> bool:
        try:
            await asyncio.wait_for(self._echoed.wait(), ECHO_DEADLINE_SECONDS)
        except TimeoutError:
            return False
        self._heard_at = time.monotonic()
        return True

    async def _renew(self) -> None:
        """This will begin again on new connections: a subscription can be dead without an error."""
        self.renewed += 1
        self._heard_at = time.monotonic()
        self._heard.clear()
        await self.close()
        self._layer.hear(self._channel, self._arrived)
        await self._listen(self._own)

    async def close(self) -> None:
        """This will end the subscription."""
        try:
            await asyncio.wait_for(self._layer.flush(), LISTEN_SECONDS)
        except Exception as error:  # noqa: BLE001  the old connections die by themselves
            log.debug("old subscription not closed", error=repr(error))
