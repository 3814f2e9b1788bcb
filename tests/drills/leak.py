"""The same requests round after round: a server's memory and open files must not grow.

The drill starts a Daphne of its own, and writes in an organisation of its own. What a process allocates while it
warms up is not counted: the first rounds are dropped. Of the others the median slope is taken (Theil-Sen), which a
single jump does not move.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Final

import psutil
from django.db import connection

from shipments import services
from tests.drills.clients import websocket_client
from tests.drills.clients.http_client import HttpClient
from tests.drills.harness import fixtures
from tests.drills.harness.environment import require_own_database, unlimited
from tests.drills.harness.presets import settings_stage
from tests.drills.harness.process import everything

_WARM_UP_ROUNDS: Final = 4
_CONCURRENCY: Final = 4
# More than this for each request or socket is a leak; less is noise of the allocator.
MAX_BYTES_PER_OPERATION: Final = 2048
MAX_FILES_PER_OPERATION: Final = 0.02


@dataclass(frozen=True, slots=True)
class LeakScale:
    """The rounds, and the operations of each."""

    rounds: int
    requests: int
    sockets: int


QUICK: Final = LeakScale(rounds=9, requests=300, sockets=60)
LONG: Final = LeakScale(rounds=24, requests=2000, sockets=400)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one kind of operation leaves behind. `bytes_each`, `files_each`: for each operation."""

    kind: str
    rounds: int
    operations: int
    bytes_each: int
    files_each: float
    resident_mb: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether nothing leaks."""
        return self.bytes_each <= MAX_BYTES_PER_OPERATION and self.files_each <= MAX_FILES_PER_OPERATION

    def as_json(self) -> dict[str, Any]:
        """Return the evidence as one JSON object."""
        return {"drill": "leak", "holds": self.holds} | asdict(self)


def run(*, scale: LeakScale, command: Sequence[str] = (sys.executable, "manage.py")) -> list[Evidence]:
    """Start a server by the command, measure both kinds of operations, and stop it."""
    require_own_database()
    key, reference = _create_data()
    environment = unlimited("general_max", "ws_connect_max", "sockets_per_user", "sockets_per_address")
    environment |= {"MALLOC_ARENA_MAX": "2", "LOG_LEVEL": "ERROR", "HTTPS": "0"}
    # Cold: the pages of a fork server would be counted, too.
    with settings_stage("leak", everything(), fork=False, command_prefix=command, **environment) as stage:
        server = stage.api
        return asyncio.run(_run_rounds(server.port, key, reference, psutil.Process(server.pid), scale))


def _create_data() -> tuple[str, str]:
    fixtures.locations()
    by, key = fixtures.dispatcher_with_key(fixtures.organization(), ["shipments:read"])
    now = datetime.now(UTC)
    shipments = [
        services.book(by=by, now=now, origin="NLRTM", destination="DEHAM", status="booked") for _ in range(20)
    ]
    connection.close()
    return key, shipments[0].reference


async def _run_rounds(
    port: int, key: str, reference: str, process: psutil.Process, scale: LeakScale
) -> list[Evidence]:
    callers = [HttpClient(port, key) for _ in range(_CONCURRENCY)]

    async def request_once(number: int) -> None:
        caller = callers[number % _CONCURRENCY]
        paths = (f"/api/shipments/{reference}", "/api/shipments?limit=20", f"/api/shipments/{reference}/events",
                 "/api/shipments/NONE", "/api/auth/me")  # fmt: skip
        await caller.request("GET", paths[number // _CONCURRENCY % len(paths)])

    async def join_once(number: int) -> None:
        joined = asyncio.Event()
        websocket = await websocket_client.connect(
            port, key, lambda _, frame: joined.set() if b'"room:joined"' in frame else None
        )
        websocket.send_json(type="join:room", shipmentId=reference)
        async with asyncio.timeout(20):
            await joined.wait()
        if number % 2:
            websocket.abort()
        await websocket.close_or_abort()

    results = [
        await _measure("requests", request_once, scale.requests, process, scale.rounds),
        await _measure("sockets", join_once, scale.sockets, process, scale.rounds),
    ]
    for caller in callers:
        await caller.close()
    return results


async def _measure(
    kind: str, operation: Callable[[int], Awaitable[None]], times: int, process: psutil.Process, rounds: int
) -> Evidence:
    """Do an operation `times` times a round, and measure the process after each round."""

    async def worker(first: int) -> None:
        for number in range(first, times, _CONCURRENCY):
            await operation(number)

    began = time.monotonic()
    resident: list[float] = []
    open_files: list[float] = []
    for _ in range(_WARM_UP_ROUNDS + rounds):
        await asyncio.gather(*(worker(first) for first in range(_CONCURRENCY)))
        await asyncio.sleep(0.3)  # closed connections are reaped, and memory is freed
        resident.append(process.memory_info().rss)
        open_files.append(process.num_fds())
    return Evidence(
        kind=kind,
        rounds=rounds,
        operations=times * rounds,
        bytes_each=round(_slope(resident[_WARM_UP_ROUNDS:]) / times),
        files_each=round(_slope(open_files[_WARM_UP_ROUNDS:]) / times, 4),
        resident_mb=round(resident[-1] / 1024 / 1024, 1),
        seconds=round(time.monotonic() - began, 1),
    )


def _slope(values: Sequence[float]) -> float:
    """Return the growth a round: the median of the slopes between all pairs of rounds (Theil-Sen)."""
    return statistics.median(
        (late - early) / (second - first) for (first, early), (second, late) in combinations(enumerate(values), 2)
    )
