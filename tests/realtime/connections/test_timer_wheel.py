"""One timer for all: each is told when its time has come, never before, and not at all once it is unset."""

import asyncio
from collections.abc import Callable

from realtime.connections import timer_wheel


class RecordingTimer:
    def __init__(self, fired: list["RecordingTimer"], act: Callable[[], object] = lambda: None) -> None:
        self._fired = fired
        self._act = act
        self.fired_at = 0.0

    def fire(self) -> None:
        self.fired_at = asyncio.get_running_loop().time()
        self._fired.append(self)
        self._act()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.01)


async def test_each_is_told_in_its_turn_and_never_too_early() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    began = asyncio.get_running_loop().time()
    late, early, now = RecordingTimer(fired), RecordingTimer(fired), RecordingTimer(fired)
    wheel.schedule(late, 0.6)
    wheel.schedule(early, 0.1)
    wheel.schedule(now, 0.0)
    await until(lambda: len(fired) == 3)

    assert fired[-1] is late
    assert late.fired_at - began >= 0.6
    assert early.fired_at - began >= 0.1


async def test_who_is_unset_is_not_told() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    cancelled, stays = RecordingTimer(fired), RecordingTimer(fired)
    wheel.cancel(cancelled, wheel.schedule(cancelled, 0.1))
    wheel.schedule(stays, 0.3)
    await until(lambda: bool(fired))

    assert fired == [stays]
    wheel.cancel(stays, 0)  # what is over can be unset


async def test_who_fails_does_not_keep_the_others_from_being_told() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()

    def fail() -> None:
        raise RuntimeError

    for _ in range(3):
        wheel.schedule(RecordingTimer(fired, fail), 0.1)
    await until(lambda: len(fired) == 3)


async def test_who_is_told_may_ask_again() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    timer = RecordingTimer(fired, lambda: wheel.schedule(timer, 0.1) if len(fired) < 3 else None)
    wheel.schedule(timer, 0.1)
    await until(lambda: len(fired) == 3)


async def test_nothing_is_kept_of_who_was_told_or_unset() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    wheel.schedule(RecordingTimer(fired), 0.1)
    cancelled = RecordingTimer(fired)
    wheel.cancel(cancelled, wheel.schedule(cancelled, 900))
    await until(lambda: bool(fired))

    assert not wheel._timers
    assert wheel._handle is None
