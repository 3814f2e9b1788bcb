"""How long something takes on a machine that others use too."""

import time
from collections.abc import Awaitable, Callable

_TRIES = 3


def fastest_seconds(operation: Callable[[], object], *, under: float) -> float:
    """Return the seconds of the quickest of up to three tries, and end with one that was quick enough.

    What else runs on the machine only adds to a time: what one try needs, no more is needed.
    """
    best = float("inf")
    for _ in range(_TRIES):
        started = time.monotonic()
        operation()
        best = min(best, time.monotonic() - started)
        if best < under:
            break
    return best


async def fastest_reported_seconds(operation: Callable[[], Awaitable[float]], *, under: float) -> float:
    """Do the same with seconds that the work tells itself."""
    best = float("inf")
    for _ in range(_TRIES):
        best = min(best, await operation())
        if best < under:
            break
    return best
