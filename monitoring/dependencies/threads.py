"""Blocking work for coroutines, in threads that keep the context of the request."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from django.db import close_old_connections

T = TypeVar("T")


async def run_in_thread(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run `work` in a thread of the pool with the caller's context, then close a worn-out database connection."""

    def call() -> T:
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(pool, copy_context().run, call)
