"""What a limit costs a request: microseconds, and commands at Redis.

The goal is one round trip at most, and no more than 150 microseconds of CPU time beside it.
"""

import json
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.bench.harness import bench_database

GOAL_ROUND_TRIPS = 1.0
GOAL_CPU_US = 150.0
_ROUNDS, _TIMES = 20, 500


def main() -> dict[str, Any]:
    """Print one JSON line."""
    bench_database.setup_django()
    result = measure()
    print(json.dumps(result))
    return result


def measure() -> dict[str, Any]:
    """Measure a limit alone and three together, beside a bare PING."""
    from ratelimits import counters, limiter
    from ratelimits.policies import Policy

    redis: Any = counters.redis_client()
    one, three = (
        [Policy("general", 10**9, 900)],
        [Policy(name, 10**9, 900) for name in ("ai", "billing", "general")],
    )
    key = f"address:{uuid.uuid4()}"
    limiter.hit_all(three, key)
    calls, times = _count_commands(redis), 1000
    for _ in range(times):
        limiter.hit_all(three, key)
    trips = round((_count_commands(redis) - calls - 1) / times, 3)  # less the INFO itself
    costs = {
        "pingUs": _microseconds(redis.ping),
        "oneUs": _microseconds(lambda: limiter.hit_all(one, key)),
        "threeUs": _microseconds(lambda: limiter.hit_all(three, key)),
        "oneCpuUs": _microseconds(lambda: limiter.hit_all(one, key), clock=time.process_time),
        "pingCpuUs": _microseconds(redis.ping, clock=time.process_time),
    }
    own_cpu_us = round(costs["oneCpuUs"] - costs["pingCpuUs"], 1)
    return {
        "bench": "limits", **costs, "ownCpuUs": own_cpu_us, "goalOwnCpuUs": GOAL_CPU_US,
        "roundTrips": trips, "goalRoundTrips": GOAL_ROUND_TRIPS,
        "over": [*["round trips"] * (trips > GOAL_ROUND_TRIPS), *["processor"] * (own_cpu_us > GOAL_CPU_US)],
    }  # fmt: skip


def _count_commands(redis: Any) -> int:
    """Return how many commands clients sent: those within scripts are left out."""
    stats = redis.info("commandstats")
    scripted = ("incr", "expire", "hincrby", "zincrby", "zcard", "zremrangebyrank")
    return sum(each["calls"] for name, each in stats.items() if name.removeprefix("cmdstat_") not in scripted)


def _microseconds(operation: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    samples = []
    for _ in range(_ROUNDS):
        started = clock()
        for _ in range(_TIMES):
            operation()
        samples.append((clock() - started) / _TIMES * 1_000_000)
    return round(statistics.median(samples), 1)


if __name__ == "__main__":
    main()
