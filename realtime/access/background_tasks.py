"""Work that nobody waits for: it is kept here until it has ended, for an event loop holds its tasks weakly."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_running: Final[set[asyncio.Task[None]]] = set()


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    """Do some work on the running loop, in the caller's context."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _running.add(task)
    task.add_done_callback(_running.discard)
