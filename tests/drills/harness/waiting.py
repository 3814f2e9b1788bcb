"""Waiting for a condition: with an exception at the deadline, or with the answer whether it came in time."""

import time
from collections.abc import Callable
from typing import Any, Final

from freight.embedded import processes

_POLL_SECONDS: Final = 0.02


def wait_until(condition: Callable[[], Any], *, seconds: float, detail: Callable[[], str] = str) -> None:
    """Poll until a condition holds; raises TimeoutError with the detail once `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The condition did not hold within {seconds:g} s. {detail()}".rstrip())
        time.sleep(_POLL_SECONDS)


def describe(error: BaseException) -> str:
    """Return what ended a drill as one line: the first cause of a group, with its type."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".strip().replace("\n", " | ")


def comes_true(seconds: float, condition: Callable[[], Any]) -> bool:
    """Return whether a condition holds within `seconds`."""
    return processes.wait_until(condition, seconds=seconds, pause=0.05)
