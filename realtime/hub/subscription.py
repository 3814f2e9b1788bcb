"""The one subscription of a process to the channel layer, which receives all hints.

A hint may get lost and nothing depends on it. But the hub must know whether hints arrive at all: once a second the
subscription sends itself an echo through Redis. Without an echo `hints_lost` is set and the hub sweeps more often;
after RESUBSCRIBE_AFTER_SECONDS the subscription starts again on new connections, with all its groups.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from channels.layers import get_channel_layer

from monitoring.dependencies.breaker import BreakerState, report_state
from realtime.protocol.room_names import CONTROL_GROUP

SUBSCRIBE_DEADLINE_SECONDS: Final = 1.0
ECHO_SECONDS: Final = 1.0
ECHO_DEADLINE_SECONDS: Final = 0.5
RESUBSCRIBE_AFTER_SECONDS: Final = 4.0

log = structlog.get_logger(__name__)


class Subscription:
    """The groups that this process is subscribed to, and the watchdog of their delivery.

    `on_message` is called with every message except echoes; what it raises is logged. `groups` are those of the
    beginning.
    """

    def __init__(
        self, on_message: Callable[[dict[str, Any]], None], *, groups: Sequence[str] = (CONTROL_GROUP,)
    ) -> None:
        self._set_hints_lost(lost=False)
        self._on_message = on_message
        self._layer = get_channel_layer()
        identifier = uuid.uuid4().hex
        self._channel = f"{getattr(self._layer, 'prefix', 'asgi')}specific.{identifier}"
        self._own_group = f"hub.{identifier}"
        self._groups: set[str] = set(groups)
        self._subscribed: set[str] = set()
        self._last_echo_at = time.monotonic()
        self._echo_received = asyncio.Event()

    @property
    def hints_lost(self) -> bool:
        """Whether hints do not arrive: the hub then sweeps more often."""
        return self._hints_lost

    def _set_hints_lost(self, *, lost: bool) -> None:
        self._hints_lost = lost
        # No circuit breaker: whether messages arrive is probed, and no call is refused.
        report_state("hints", BreakerState.OPEN if lost else BreakerState.CLOSED)

    async def subscribe(self, group: str) -> None:
        """Subscribe to a group; while Redis does not answer, `watch_forever` does so later."""
        self._groups.add(group)
        if not self.hints_lost:
            await self._subscribe(group)

    async def _subscribe(self, group: str) -> None:
        try:
            async with asyncio.timeout(SUBSCRIBE_DEADLINE_SECONDS):
                await self._layer.group_add(group, self._channel)
            self._subscribed.add(group)
        except Exception as error:  # noqa: BLE001  hints are optional: the sweep replaces them
            self._set_hints_lost(lost=True)
            log.debug("group not subscribed", group=group, error=repr(error))

    async def unsubscribe(self, group: str) -> None:
        """Unsubscribe from a group; a failure is logged, as a message for an unknown room is dropped."""
        self._groups.discard(group)
        self._subscribed.discard(group)
        try:
            async with asyncio.timeout(SUBSCRIBE_DEADLINE_SECONDS):
                await self._layer.group_discard(group, self._channel)
        except Exception as error:  # noqa: BLE001  as in the docstring
            log.debug("group not unsubscribed", group=group, error=repr(error))

    # -- running ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start to receive."""
        self._layer.add_listener(self._channel, self._on_layer_message)
        await asyncio.gather(*(self.subscribe(group) for group in (self._own_group, *self._groups)))

    def _on_layer_message(self, message: dict[str, Any]) -> None:
        try:
            if message["type"] == "echo":
                self._echo_received.set()
            else:
                self._on_message(message)
        except Exception as error:  # noqa: BLE001  one bad message must not end the subscription
            log.warning("hint not handled", error=repr(error))

    async def watch_forever(self) -> None:
        """Send an echo each second; subscribe again where one is missing or a group is not subscribed."""
        while True:
            await asyncio.sleep(ECHO_SECONDS)
            sent = await self._send_echo()
            received = sent and await self._wait_for_echo()
            if received is self.hints_lost:
                log.warning("hints received again" if received else "hints not received")
            self._set_hints_lost(lost=not received)
            if sent and not received and time.monotonic() - self._last_echo_at > RESUBSCRIBE_AFTER_SECONDS:
                await self._resubscribe()
            for group in tuple(self._groups - self._subscribed) if received else ():
                await self._subscribe(group)

    async def _send_echo(self) -> bool:
        """Send an echo; return whether Redis accepted it."""
        self._echo_received.clear()
        try:
            async with asyncio.timeout(ECHO_DEADLINE_SECONDS):
                await self._layer.group_send(self._own_group, {"type": "echo"})
        except Exception:  # noqa: BLE001  whatever failed: Redis did not accept it
            return False
        return True

    async def _wait_for_echo(self) -> bool:
        try:
            async with asyncio.timeout(ECHO_DEADLINE_SECONDS):
                await self._echo_received.wait()
        except TimeoutError:
            return False
        self._last_echo_at = time.monotonic()
        return True

    async def _resubscribe(self) -> None:
        """Start again on new connections: a subscription can be dead without an error."""
        self._last_echo_at = time.monotonic()
        self._subscribed.clear()
        await self.close()
        self._layer.add_listener(self._channel, self._on_layer_message)
        await self._subscribe(self._own_group)

    async def close(self) -> None:
        """End the subscription."""
        try:
            async with asyncio.timeout(SUBSCRIBE_DEADLINE_SECONDS):
                await self._layer.flush()
        except Exception as error:  # noqa: BLE001  the old connections time out by themselves
            log.debug("old subscription not closed", error=repr(error))
