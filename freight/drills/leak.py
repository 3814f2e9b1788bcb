"""A server asked the same things round after round: memory and open files must end where they began.

It starts a Daphne of its own, asks only that one, and writes in an organisation of its own. What a process
allocates while it warms up is not counted: the first rounds are thrown away, and of the others the median slope
is taken, which single jumps do not bend.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import psutil
from django.db import connection

from freight.drills.delivery import sockets
from freight.drills.delivery.requests import Caller, NoAnswer, NotSent
from shipments import access, services
from shipments.models import Location, Membership, Organization, User
from shipments.services import api_keys

_ROOT: Final = Path(__file__).resolve().parents[2]
_WARM_UP_ROUNDS: Final = 4
_AT_ONCE: Final = 4
_READY_SECONDS: Final = 90.0
_UNLIMITED: Final = "10000000"
# More than this for each request or socket is a leak; less is the allocator's.
MOST_BYTES: Final = 2048
MOST_FILES: Final = 0.02


@dataclass(frozen=True, slots=True)
class Scale:
    """How long it takes: rounds, and what is done in each."""

    rounds: int
    requests: int
    sockets: int


QUICK: Final = Scale(rounds=9, requests=300, sockets=60)
LONG: Final = Scale(rounds=24, requests=2000, sockets=400)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one kind of work left behind, for each time that it was done."""

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
        return self.bytes_each <= MOST_BYTES and self.files_each <= MOST_FILES

    def told(self) -> dict[str, Any]:
        """This will return the evidence as one JSON object."""
        return {"drill": "leak", "holds": self.holds} | asdict(self)


def run(*, scale: Scale, command: Sequence[str] = (sys.executable, "manage.py")) -> list[Evidence]:
    """This will start a server with the command, ask it for both kinds of work, and stop it."""
    key, reference = _stage()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="freight-leak-") as folder:
        server = _start([*command, "serve", "--role", "all", "--port", str(port)], Path(folder))
        try:
            return asyncio.run(_rounds(port, key, reference, psutil.Process(server.pid), scale))
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _stage() -> tuple[str, str]:
    now = datetime.now(UTC)
    organization = Organization.objects.create(name="Drill", slug=f"drill-{uuid.uuid4().hex[:12]}", created_at=now)
    user = User(email=f"leak-{uuid.uuid4().hex[:12]}@drill.test", name="Drill")
    user.set_unusable_password()
    user.save()
    Membership.objects.create(user=user, organization=organization, role="dispatcher")
    by = access.subject_of_user(user)
    if by is None:
        raise RuntimeError("A fresh member is nobody.")
    for locode, name, country in (("NLRTM", "Rotterdam", "NL"), ("DEHAM", "Hamburg", "DE")):
        place = {"name": name, "country": country, "latitude": 52.0, "longitude": 5.0}
        Location.objects.get_or_create(locode=locode, defaults=place)
    made = [services.book(by=by, now=now, origin="NLRTM", destination="DEHAM", status="booked") for _ in range(20)]
    secret = api_keys.create(by=by, now=now, name="leak drill", scopes=["shipments:read"])[1]
    connection.close()
    return secret, made[0].reference


def _start(command: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    limits = ("GENERAL_MAX", "WS_CONNECT_MAX", "SOCKETS_PER_USER", "SOCKETS_PER_ADDRESS")
    environment = os.environ | {f"RATE_LIMIT_{name}": _UNLIMITED for name in limits}
    environment |= {"METRICS_DIR": str(folder), "MALLOC_ARENA_MAX": "2", "LOG_LEVEL": "ERROR", "HTTPS": "0"}
    return subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)


async def _rounds(port: int, key: str, reference: str, process: psutil.Process, scale: Scale) -> list[Evidence]:
    await _ready(port, process)
    callers = [Caller(port, key) for _ in range(_AT_ONCE)]

    async def ask(number: int) -> None:
        caller = callers[number % _AT_ONCE]
        paths = (f"/api/shipments/{reference}", "/api/shipments?limit=20", f"/api/shipments/{reference}/events",
                 "/api/shipments/NONE", "/api/auth/me")  # fmt: skip
        await caller.call("GET", paths[number // _AT_ONCE % len(paths)])

    async def sit(number: int) -> None:
        heard = asyncio.Event()
        seat = await sockets.connect(port, key, lambda _, frame: heard.set() if b'"room:joined"' in frame else None)
        seat.say(type="join:room", shipmentId=reference)
        async with asyncio.timeout(20):
            await heard.wait()
        if number % 2:
            seat.drop()
        await seat.finish()

    found = [
        await _watched("requests", ask, scale.requests, process, scale.rounds),
        await _watched("sockets", sit, scale.sockets, process, scale.rounds),
    ]
    for caller in callers:
        await caller.close()
    return found


async def _ready(port: int, process: psutil.Process) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    caller = Caller(port)
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        try:
            if (await caller.call("GET", "/api/health/ready")).status == 200:
                await caller.close()
                return
        except (NotSent, NoAnswer):
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("The server did not get ready.")


async def _watched(
    kind: str, act: Callable[[int], Awaitable[None]], times: int, process: psutil.Process, rounds: int
) -> Evidence:
    """This will do something so many times a round, and measure the process after each round."""

    async def worker(first: int) -> None:
        for number in range(first, times, _AT_ONCE):
            await act(number)

    began = time.monotonic()
    resident: list[float] = []
    files: list[float] = []
    for _ in range(_WARM_UP_ROUNDS + rounds):
        await asyncio.gather(*(worker(first) for first in range(_AT_ONCE)))
        await asyncio.sleep(0.3)  # what is over is reaped and given back
        resident.append(process.memory_info().rss)
        files.append(process.num_fds())
    return Evidence(
        kind=kind,
        rounds=rounds,
        operations=times * rounds,
        bytes_each=round(_slope(resident[_WARM_UP_ROUNDS:]) / times),
        files_each=round(_slope(files[_WARM_UP_ROUNDS:]) / times, 4),
        resident_mb=round(resident[-1] / 1024 / 1024, 1),
        seconds=round(time.monotonic() - began, 1),
    )


def _slope(values: Sequence[float]) -> float:
    """This will return the growth a round: the median over every two rounds (Theil and Sen)."""
    return statistics.median(
        (late - early) / (second - first) for (first, early), (second, late) in combinations(enumerate(values), 2)
    )
