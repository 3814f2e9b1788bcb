"""Counting for coroutines: the event loop never waits for Redis, and many who come at once share a round trip.

A request waits for it no longer than for anything else in Redis (see ratelimits.waiting): it is then counted by
this process alone.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final
from weakref import WeakKeyDictionary

from ratelimits import limiter, waiting
from ratelimits.limiter import Usage
from ratelimits.policies import Policy

# A frozen Redis holds a thread for a third of a second.
_threads: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="limits")
# Counted by one call; Redis does nothing else meanwhile.
_MOST_AT_ONCE: Final = 200


async def check(policy: str, key: str, *, subject: object = None) -> Usage | None:
    """This will count once and tell how the key stands; None where no limit holds it.

    `key` is the subject's `limit_key`, or `address_key` of where it comes from.
    """
    held = limiter.holding([policy], key, subject=subject)
    if not held:
        return None
    crowd = _crowds.setdefault(asyncio.get_running_loop(), _Crowd())
    return await crowd.count(held[0], key)


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """Somebody who waits to be counted."""

    policy: Policy
    key: str
    answer: "asyncio.Future[Usage]"

    def counted(self, usage: Usage | None = None) -> None:
        """This will tell the count, else that of this process, unless whoever asked is gone or knows it already."""
        if not self.answer.done():
            self.answer.set_result(usage or limiter.hit_alone([(self.policy, self.key)])[0])


@dataclass(slots=True, eq=False)
class _Crowd:
    """Those of one event loop who wait to be counted; who comes while a call is under way is for the next."""

    waiting: list[_One] = field(default_factory=list)
    working: "asyncio.Task[None] | None" = None

    async def count(self, policy: Policy, key: str) -> Usage:
        loop = asyncio.get_running_loop()
        one = _One(policy, key, loop.create_future())
        if not waiting.may_ask():
            one.counted()
            return await one.answer
        self.waiting.append(one)
        if self.working is None or self.working.done():
            self.working = asyncio.create_task(self._work(), context=Context())
        seconds = waiting.patience()
        if seconds is None:
            return await one.answer
        late = loop.call_later(seconds, one.counted)
        try:
            with waiting.asking():
                return await one.answer
        finally:
            late.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while still := [one for one in self.waiting if not one.answer.done()]:
            batch, self.waiting = still[:_MOST_AT_ONCE], still[_MOST_AT_ONCE:]
            wanted = [(one.policy, one.key) for one in batch]
            try:
                usages = await loop.run_in_executor(_threads, limiter.hit_in_redis, wanted)
            except Exception as error:  # noqa: BLE001  is told to those whom it concerns
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, usage in zip_longest(batch, usages or ()):
                    one.counted(usage)
        self.waiting = []


_crowds: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Crowd]] = WeakKeyDictionary()
