"""The delivery drill: the rows of the fault table, one after the other on one stage."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from freight.drills.delivery import (
    rows_clients,
    rows_interleaving,
    rows_network,
    rows_postgres,
    rows_processes,
    rows_readers,
    rows_redis,
    rows_restart,
)
from freight.drills.delivery.evidence import COLUMNS, Evidence
from freight.drills.delivery.scale import LONG, SHORT, Scale
from freight.drills.delivery.stage import Stage, raised

Row = Callable[[Stage, Scale, int], Awaitable[Evidence]]

ROWS: Final[Mapping[str, Row]] = {
    "redis-killed": rows_redis.killed,
    "redis-down": rows_redis.down,
    "redis-frozen": rows_redis.frozen,
    "redis-troubled": rows_redis.troubled,
    "sockets-killed": rows_processes.sockets_killed,
    "killed-after-commit": rows_processes.killed_after_commit,
    "killed-before-commit": rows_processes.killed_before_commit,
    "relay-killed": rows_processes.relay_killed,
    "postgres-restarted": rows_postgres.restarted,
    "postgres-frozen": rows_postgres.frozen,
    "postgres-crowded": rows_postgres.crowded,
    "writers-cross": rows_postgres.crossing,
    "commit-unknown": rows_postgres.unknown,
    "rolling-restart": rows_restart.rolling,
    "network": rows_network.troubled,
    "burst": rows_clients.burst,
    "readers-stop": rows_readers.stopped,
    "dropped-at-once": rows_clients.dropped,
    "churn": rows_clients.churn,
    "revoked-without-redis": rows_clients.revoked,
    "interleaving": rows_interleaving.interleaved,
}


def play(stage: Stage, name: str, scale: Scale, seed: int) -> Evidence:
    """This will play one row on a stage and return its evidence."""

    async def row() -> Evidence:
        return await ROWS[name](stage, scale, seed)

    return asyncio.run(row())


def run(*, quick: bool, seed: int, names: Sequence[str], tell: Callable[[str], object]) -> list[Evidence]:
    """This will play the rows, all of them where none is named, and tell each when it is over."""
    tell(" | ".join(COLUMNS))
    found = []
    with raised() as stage:
        for name in names or ROWS:
            evidence = play(stage, name, SHORT if quick else LONG, seed)
            found.append(evidence)
            tell(" | ".join([*evidence.cells(), f"{evidence.seconds:.0f} s"]))
            for line in str(evidence).splitlines()[1:]:
                tell(line)
    return found
