"""What is to happen to sockets later, to a quarter of a second: one timer for all of them.

A timer of the event loop's with what it calls and its context takes half a kilobyte, and every socket waits for its
next heartbeat and for the end of its credentials.
"""

import asyncio
import math
from contextvars import Context
from typing import Final, Protocol

import structlog

TICK_SECONDS: Final = 0.25

log = structlog.get_logger(__name__)


class Timer(Protocol):
    """Who wants to be told when a time has come; must be quick."""

    def fire(self) -> None: ...


class TimerWheel:
    """The sleepers of one event loop, by the tick at which they are told."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._timers: dict[int, set[Timer]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._next_tick = 0

    def schedule(self, timer: Timer, seconds: float) -> int:
        """Ring after so many seconds, never before, and return what `unset` wants to know."""
        tick = math.ceil((self._loop.time() + seconds) / TICK_SECONDS)
        self._timers.setdefault(tick, set()).add(timer)
        if self._handle is None or tick < self._next_tick:
            self._arm(tick)
        return tick

    def cancel(self, timer: Timer, tick: int) -> None:
        """Not ring."""
        timers = self._timers.get(tick)
        if timers is not None:
            timers.discard(timer)
            if not timers:
                del self._timers[tick]

    def _arm(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._next_tick = tick
        # In nobody's context: it is not for the socket that happened to be the first.
        self._handle = self._loop.call_at(tick * TICK_SECONDS, self._fire_due, context=Context())

    def _fire_due(self) -> None:
        self._handle = None
        now = self._loop.time() / TICK_SECONDS
        for tick in sorted(tick for tick in self._timers if tick <= now):
            for timer in self._timers.pop(tick, ()):
                try:
                    timer.fire()
                except Exception as error:
                    log.warning("not told in time", error=repr(error))
        if self._timers and self._handle is None:
            self._arm(min(self._timers))


_wheels: dict[asyncio.AbstractEventLoop, TimerWheel] = {}


def current() -> TimerWheel:
    """Return the clock of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _wheels:
        _wheels[loop] = TimerWheel()
    return _wheels[loop]
