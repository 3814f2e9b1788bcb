"""Tasks that no caller awaits. An event loop keeps weak references to tasks, so they are held here until done."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_running: Final[set[asyncio.Task[None]]] = set()


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine as a task of the running loop, in a copy of the caller's context."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _running.add(task)
    task.add_done_callback(_running.discard)
