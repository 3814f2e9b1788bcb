"""A timer wheel: one timer of the event loop for the timeouts of all sockets, with ticks of a quarter of a second.

A timer of the event loop takes half a kilobyte with its callback and context. Every socket needs two: for the next
heartbeat and for the expiry of its credentials.
"""

import asyncio
import math
from contextvars import Context
from typing import Final, Protocol

import structlog

TICK_SECONDS: Final = 0.25

log = structlog.get_logger(__name__)


class Timer(Protocol):
    """An object with a timeout. `fire` runs on the event loop and must not block."""

    def fire(self) -> None: ...


class TimerWheel:
    """The timers of one event loop, by the tick at which they fire."""

    def __init__(self) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._timers: dict[int, set[Timer]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._next_tick = 0

    def schedule(self, timer: Timer, seconds: float) -> int:
        """Fire a timer once, after `seconds` and never earlier; return the tick, which `cancel` needs."""
        tick = math.ceil((self._loop.time() + seconds) / TICK_SECONDS)
        self._timers.setdefault(tick, set()).add(timer)
        if self._handle is None or tick < self._next_tick:
            self._arm(tick)
        return tick

    def cancel(self, timer: Timer, tick: int) -> None:
        """Cancel a timer; one that has fired is ignored."""
        timers = self._timers.get(tick)
        if timers is not None:
            timers.discard(timer)
            if not timers:
                del self._timers[tick]

    def _arm(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._next_tick = tick
        # In an empty context: the timer does not belong to the trace of the socket that was first.
        self._handle = self._loop.call_at(tick * TICK_SECONDS, self._fire_due, context=Context())

    def _fire_due(self) -> None:
        self._handle = None
        now = self._loop.time() / TICK_SECONDS
        for tick in sorted(tick for tick in self._timers if tick <= now):
            for timer in self._timers.pop(tick, ()):
                try:
                    timer.fire()
                except Exception as error:  # noqa: BLE001  the other timers must still fire
                    log.warning("timer failed", error=repr(error))
        if self._timers and self._handle is None:
            self._arm(min(self._timers))


_wheels: dict[asyncio.AbstractEventLoop, TimerWheel] = {}


def current() -> TimerWheel:
    """Return the timer wheel of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _wheels:
        _wheels[loop] = TimerWheel()
    return _wheels[loop]
