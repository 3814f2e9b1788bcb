"""Hints about commits, for those that wait until a log has grown: the relay's sequencer and long polls.

They may get lost, so that a listener polls as well; a hint only makes it poll at once.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from realtime.hub.subscription import Subscription
from realtime.protocol.room_names import COMMITS_GROUP

_listening: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]]] = WeakKeyDictionary()


def listen(on_grown: Callable[[set[uuid.UUID]], None]) -> None:
    """Call `on_grown` on the running loop with the ids of shipments and organisations whose logs have grown.

    It must not block. Only the first callback of a loop is used, until the loop ends. An organisation's id means
    its feed.
    """
    loop = asyncio.get_running_loop()
    if loop not in _listening:

        def on_message(message: dict[str, Any]) -> None:
            on_grown({uuid.UUID(bytes=key) for key in message["keys"]})

        _listening[loop] = loop.create_task(_receive_forever(on_message))


def listen_in_thread(on_unnumbered: Callable[[], None]) -> None:
    """Call `on_unnumbered` in a daemon thread when events were committed that have no number in their feed yet."""

    def on_message(message: dict[str, Any]) -> None:
        if message["unnumbered"]:
            on_unnumbered()

    threading.Thread(
        target=lambda: asyncio.run(_receive_forever(on_message)), name="commit hints", daemon=True
    ).start()


async def _receive_forever(on_message: Callable[[dict[str, Any]], None]) -> None:
    subscription = Subscription(on_message, groups=[COMMITS_GROUP])
    await subscription.open()
    await subscription.watch_forever()
