"""Timers fire after their time, never before it, and not at all once they are cancelled."""

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


async def wait_until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110  timers set no event
            await asyncio.sleep(0.01)


async def test_timers_fire_in_order_and_never_early() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    began = asyncio.get_running_loop().time()
    late, early, now = RecordingTimer(fired), RecordingTimer(fired), RecordingTimer(fired)
    wheel.schedule(late, 0.6)
    wheel.schedule(early, 0.1)
    wheel.schedule(now, 0.0)
    await wait_until(lambda: len(fired) == 3)

    assert fired[-1] is late
    assert late.fired_at - began >= 0.6
    assert early.fired_at - began >= 0.1


async def test_a_cancelled_timer_does_not_fire() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    cancelled, stays = RecordingTimer(fired), RecordingTimer(fired)
    wheel.cancel(cancelled, wheel.schedule(cancelled, 0.1))
    wheel.schedule(stays, 0.3)
    await wait_until(lambda: bool(fired))

    assert fired == [stays]
    wheel.cancel(stays, 0)  # a timer that has fired may be cancelled


async def test_a_failing_timer_does_not_stop_the_others() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()

    def fail() -> None:
        raise RuntimeError

    for _ in range(3):
        wheel.schedule(RecordingTimer(fired, fail), 0.1)
    await wait_until(lambda: len(fired) == 3)


async def test_a_timer_may_schedule_itself_again_when_it_fires() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    timer = RecordingTimer(fired, lambda: wheel.schedule(timer, 0.1) if len(fired) < 3 else None)
    wheel.schedule(timer, 0.1)
    await wait_until(lambda: len(fired) == 3)


async def test_fired_and_cancelled_timers_are_not_kept() -> None:
    wheel, fired = timer_wheel.TimerWheel(), list[RecordingTimer]()
    wheel.schedule(RecordingTimer(fired), 0.1)
    cancelled = RecordingTimer(fired)
    wheel.cancel(cancelled, wheel.schedule(cancelled, 900))
    await wait_until(lambda: bool(fired))

    assert not wheel._timers
    assert wheel._handle is None
