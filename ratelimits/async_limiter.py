"""The limiter for coroutines: the event loop never waits for Redis, and concurrent hits share a round trip.

A request waits for its count within its budget for Redis (`monitoring.dependencies.deadlines`); after that this
process counts it alone.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from monitoring.dependencies import deadlines
from monitoring.dependencies.batching import BatchLoader
from ratelimits import limiter
from ratelimits.limiter import Hit, Usage

# A frozen Redis holds a thread until the deadline of its command; a second event loop has the other.
_executor: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="limits")
# Hits in one script: Redis runs nothing else meanwhile.
_MAX_BATCH: Final = 200


async def check(policy: str, key: str, *, subject: object = None) -> Usage | None:
    """Count one request against a policy and return its usage, None where no limit applies.

    `key` is the subject's `limit_key`, or the `address_key` of its address.
    """
    hits = limiter.applicable_hits([policy], key, subject=subject)
    if not hits:
        return None
    [hit] = hits
    return await _count_in_redis(hit) or limiter.hit_locally([hit])[0]


async def _count_in_redis(hit: Hit) -> Usage | None:
    """Count one hit in the next batch, None where Redis does not answer or the budget of the request is spent."""
    if not deadlines.has_redis_budget():
        return None
    timeout = deadlines.redis_timeout()
    if timeout is None:
        return await _hits.load(hit)
    with deadlines.redis_deadline():  # charges the wait to the request
        return await _hits.load(hit, timeout_seconds=timeout)


async def _load(hits: list[Hit]) -> list[Usage] | None:
    # Without the context of a request: no budget of one limits the count of many.
    return await asyncio.get_running_loop().run_in_executor(_executor, limiter.hit_in_redis, hits)


# Every hit counts, equal ones too. One that has timed out before its batch begins was counted by the process alone
# and is left out; one that times out later is counted by both.
_hits: Final[BatchLoader[Hit, Usage]] = BatchLoader(_load, max_batch=_MAX_BATCH)
