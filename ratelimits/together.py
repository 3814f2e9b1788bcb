"""Counting for coroutines: the event loop never waits for Redis, and many who come at once share a round trip.

A request waits for it no longer than for anything else in Redis (see ratelimits.waiting): it is then counted by
this process alone.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
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


@dataclass(slots=True, eq=False)
class _Crowd:
    """Those of one event loop who wait to be counted; who comes while a call is under way is for the next."""

    waiting: list[tuple[Policy, str, "asyncio.Future[Usage]"]] = field(default_factory=list)
    working: "asyncio.Task[None] | None" = None

    async def count(self, policy: Policy, key: str) -> Usage:
        if not waiting.may_ask():
            return _alone(policy, key)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Usage] = loop.create_future()
        self.waiting.append((policy, key, answer))
        if self.working is None or self.working.done():
            self.working = asyncio.create_task(self._work(), context=Context())
        seconds = waiting.patience()
        if seconds is None:
            return await answer
        late = loop.call_later(seconds, _waited_enough, policy, key, answer)
        try:
            with waiting.asking():
                return await answer
        finally:
            late.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self.waiting:
            still = [each for each in self.waiting if not each[-1].done()]
            batch, self.waiting = still[:_MOST_AT_ONCE], still[_MOST_AT_ONCE:]
            answers = [answer for *_, answer in batch]
            wanted = [(policy, key) for policy, key, _ in batch]
            try:
                usages = await loop.run_in_executor(_threads, limiter.hit_many, wanted)
            except Exception as error:  # noqa: BLE001  is told to those whom it concerns
                for answer in answers:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for answer, usage in zip(answers, usages, strict=True):
                    if not answer.done():  # else whoever asked is gone
                        answer.set_result(usage)


def _alone(policy: Policy, key: str) -> Usage:
    return limiter.hit_many([(policy, key)], alone=True)[0]


def _waited_enough(policy: Policy, key: str, answer: "asyncio.Future[Usage]") -> None:
    if not answer.done():
        answer.set_result(_alone(policy, key))


_crowds: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Crowd]] = WeakKeyDictionary()
