"""One timer for all: each is told when its time has come, never before, and not at all once it is unset."""

import asyncio
from collections.abc import Callable

from realtime import clock


class Sleeper:
    def __init__(self, told: list["Sleeper"], act: Callable[[], object] = lambda: None) -> None:
        self._told = told
        self._act = act
        self.rang_at = 0.0

    def ring(self) -> None:
        self.rang_at = asyncio.get_running_loop().time()
        self._told.append(self)
        self._act()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_each_is_told_in_its_turn_and_never_too_early() -> None:
    wheel, told = clock.Clock(), list[Sleeper]()
    began = asyncio.get_running_loop().time()
    late, early, now = Sleeper(told), Sleeper(told), Sleeper(told)
    wheel.set(late, 0.6)
    wheel.set(early, 0.1)
    wheel.set(now, 0.0)
    await until(lambda: len(told) == 3)

    assert told[-1] is late
    assert late.rang_at - began >= 0.6
    assert early.rang_at - began >= 0.1


async def test_who_is_unset_is_not_told() -> None:
    wheel, told = clock.Clock(), list[Sleeper]()
    gone, stays = Sleeper(told), Sleeper(told)
    wheel.unset(gone, wheel.set(gone, 0.1))
    wheel.set(stays, 0.3)
    await until(lambda: bool(told))

    assert told == [stays]
    wheel.unset(stays, 0)  # what is over can be unset


async def test_who_fails_does_not_keep_the_others_from_being_told() -> None:
    wheel, told = clock.Clock(), list[Sleeper]()

    def fail() -> None:
        raise RuntimeError

    for _ in range(3):
        wheel.set(Sleeper(told, fail), 0.1)
    await until(lambda: len(told) == 3)


async def test_who_is_told_may_ask_again() -> None:
    wheel, told = clock.Clock(), list[Sleeper]()
    sleeper = Sleeper(told, lambda: wheel.set(sleeper, 0.1) if len(told) < 3 else None)
    wheel.set(sleeper, 0.1)
    await until(lambda: len(told) == 3)


async def test_nothing_is_kept_of_who_was_told_or_unset() -> None:
    wheel, told = clock.Clock(), list[Sleeper]()
    wheel.set(Sleeper(told), 0.1)
    gone = Sleeper(told)
    wheel.unset(gone, wheel.set(gone, 900))
    await until(lambda: bool(told))

    assert not wheel._sleeping
    assert wheel._timer is None
