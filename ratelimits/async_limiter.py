"""Counting for coroutines: the event loop never waits for Redis, and many who come at once share a round trip.

A request waits for it no longer than for anything else in Redis (see monitoring.dependencies.redis_deadlines): it is then counted by
this process alone.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final
from weakref import WeakKeyDictionary

from monitoring.dependencies import redis_deadlines
from ratelimits import limiter
from ratelimits.limiter import Usage
from ratelimits.policies import Policy

# A frozen Redis holds a thread for a third of a second.
_executor: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="limits")
# Counted by one call; Redis does nothing else meanwhile.
_MAX_BATCH: Final = 200


async def check(policy: str, key: str, *, subject: object = None) -> Usage | None:
    """Count once and tell how the key stands; None where no limit holds it.

    `key` is the subject's `limit_key`, or `address_key` of where it comes from.
    """
    policies = limiter.applicable_policies([policy], key, subject=subject)
    if not policies:
        return None
    counter = _batch_counters.setdefault(asyncio.get_running_loop(), _BatchCounter())
    return await counter.increment(policies[0], key)


@dataclass(frozen=True, slots=True, eq=False)
class _PendingHit:
    """Somebody who waits to be counted."""

    policy: Policy
    key: str
    future: "asyncio.Future[Usage]"

    def resolve(self, usage: Usage | None = None) -> None:
        """Tell the count, else that of this process, unless whoever asked is gone or knows it already."""
        if not self.future.done():
            self.future.set_result(usage or limiter.hit_locally([(self.policy, self.key)])[0])


@dataclass(slots=True, eq=False)
class _BatchCounter:
    """Those of one event loop who wait to be counted; who comes while a call is under way is for the next."""

    pending: list[_PendingHit] = field(default_factory=list)
    flush_task: "asyncio.Task[None] | None" = None

    async def increment(self, policy: Policy, key: str) -> Usage:
        loop = asyncio.get_running_loop()
        hit = _PendingHit(policy, key, loop.create_future())
        if not redis_deadlines.has_redis_budget():
            hit.resolve()
            return await hit.future
        self.pending.append(hit)
        if self.flush_task is None or self.flush_task.done():
            self.flush_task = asyncio.create_task(self._flush_forever(), context=Context())
        timeout = redis_deadlines.redis_timeout()
        if timeout is None:
            return await hit.future
        timeout_handle = loop.call_later(timeout, hit.resolve)
        try:
            with redis_deadlines.redis_deadline():
                return await hit.future
        finally:
            timeout_handle.cancel()

    async def _flush_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while unresolved := [one for one in self.pending if not one.future.done()]:
            batch, self.pending = unresolved[:_MAX_BATCH], unresolved[_MAX_BATCH:]
            hits = [(one.policy, one.key) for one in batch]
            try:
                usages = await loop.run_in_executor(_executor, limiter.hit_in_redis, hits)
            except Exception as error:
                for one in batch:
                    if not one.future.done():
                        one.future.set_exception(error)
            else:
                for one, usage in zip_longest(batch, usages or ()):
                    one.resolve(usage)
        self.pending = []


_batch_counters: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _BatchCounter]] = WeakKeyDictionary()
