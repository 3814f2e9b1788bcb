"""What is to happen to sockets later, to a quarter of a second: one timer for all of them.

A timer of the event loop's with what it calls and its context takes half a kilobyte, and every socket waits for its
next heartbeat and for the end of its credentials.
"""

import asyncio
import math
from contextvars import Context
from typing import Final, Protocol

import structlog

SECONDS: Final = 0.25

log = structlog.get_logger(__name__)


class Sleeper(Protocol):
    """Who wants to be told when a time has come; must be quick."""

    def ring(self) -> None: ...


class Clock:
    """The sleepers of one event loop, by the tick at which they are told."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._sleeping: dict[int, set[Sleeper]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def set(self, sleeper: Sleeper, seconds: float) -> int:
        """This will ring after so many seconds, never before, and return what `unset` wants to know."""
        tick = math.ceil((self._loop.time() + seconds) / SECONDS)
        self._sleeping.setdefault(tick, set()).add(sleeper)
        if self._timer is None or tick < self._next:
            self._wait_for(tick)
        return tick

    def unset(self, sleeper: Sleeper, tick: int) -> None:
        """This will not ring."""
        sleeping = self._sleeping.get(tick)
        if sleeping is not None:
            sleeping.discard(sleeper)
            if not sleeping:
                del self._sleeping[tick]

    def _wait_for(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = tick
        # In nobody's context: it is not for the socket that happened to be the first.
        self._timer = self._loop.call_at(tick * SECONDS, self._strike, context=Context())

    def _strike(self) -> None:
        self._timer = None
        now = self._loop.time() / SECONDS
        for tick in sorted(tick for tick in self._sleeping if tick <= now):
            for sleeper in self._sleeping.pop(tick, ()):
                try:
                    sleeper.ring()
                except Exception as error:  # noqa: BLE001  the others are to be told too
                    log.warning("not told in time", error=repr(error))
        if self._sleeping and self._timer is None:
            self._wait_for(min(self._sleeping))


_clocks: dict[asyncio.AbstractEventLoop, Clock] = {}


def current() -> Clock:
    """This will return the clock of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _clocks:
        _clocks[loop] = Clock()
    return _clocks[loop]
