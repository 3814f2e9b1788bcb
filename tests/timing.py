"""Measuring how long something takes on a loaded machine."""

import time
from collections.abc import Awaitable, Callable

_TRIES = 3


def fastest_seconds(operation: Callable[[], object], *, under: float) -> float:
    """Return the seconds of the fastest of up to three tries; stop at one that took less than `under`.

    Other load only adds to a time, so that the fastest try is the closest to the true one.
    """
    best = float("inf")
    for _ in range(_TRIES):
        started = time.monotonic()
        operation()
        best = min(best, time.monotonic() - started)
        if best < under:
            break
    return best


def slowest_seconds(operation: Callable[[], float], *, over: float) -> float:
    """Return the most that up to three tries report; stop at one that took more than `over`.

    For a fault that must be real before its mend is measured: a timeout on a loaded machine ends one early.
    """
    worst = 0.0
    for _ in range(_TRIES):
        worst = max(worst, operation())
        if worst > over:
            break
    return worst


async def fastest_reported_seconds(operation: Callable[[], Awaitable[float]], *, under: float) -> float:
    """Do the same with an operation that returns its own seconds."""
    best = float("inf")
    for _ in range(_TRIES):
        best = min(best, await operation())
        if best < under:
            break
    return best
