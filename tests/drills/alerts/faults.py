"""The faults: what is done to real processes, which alerts must fire, and how the fault is undone."""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from tests.drills.alerts import machine_faults, socket_faults
from tests.drills.alerts.background_traffic import BackgroundTraffic
from tests.drills.clients.http_client import HttpClient, NoResponse, NotSent
from tests.drills.harness import failpoints
from tests.drills.harness.product_stage import API_ROLES, WS_ROLES, ProductStage
from tests.drills.restores.backups import BaseBackup
from tests.drills.scenarios.process_freezes import stopped

FaultInjector = Callable[[ProductStage, BackgroundTraffic], AbstractAsyncContextManager[None]]
_LOCK_SECONDS: Final = 0.8
_BLOCKED_WRITERS: Final = 40
# Two are hashed at once, twenty wait.
_STRANGERS: Final = 40
_LOGIN_PAUSE_SECONDS: Final = 0.2
# So that something is known that the backup lacks.
_WRITING_SECONDS: Final = 5.0
# By nobody who has access: the relay ends it at once.
_OLD_EXPORT: Final = """
INSERT INTO exports_export (
    id, organization_id, owner_id, request_id, state, done, attempt, error, created_at, report, format, filters,
    file, sha256
) VALUES (
    gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '', 'queued', 0, 0, '', now() - interval '20 minutes',
    'shipments', 'csv', '{}', '', ''
)
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, injected for the length of a block, and the alerts that must fire.

    `wave`: faults of one number are injected together in the quick form; 0: not in that form.
    `fires_seconds`, `clears_seconds`: until every alert must fire, and clear after the fault.
    `missing_requirement`: returns what this machine lacks for it, empty where it can be injected.
    """

    name: str
    inject: FaultInjector
    alerts: frozenset[str]
    wave: int = 0
    fires_seconds: float = 45.0
    clears_seconds: float = 45.0
    missing_requirement: Callable[[], str] = str


@asynccontextmanager
async def _redis_frozen(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    with stage.frozen(stage.valkey):
        yield


@asynccontextmanager
async def _database_stopped(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    stage.database.crash()
    try:
        yield
    finally:
        stage.database.launch()
        await asyncio.to_thread(stage.database.wait_ready)


@asynccontextmanager
async def _database_frozen(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    with stage.frozen(stage.database):
        yield


@asynccontextmanager
async def _relay_killed(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Kill the relay, and leave an export that was ordered twenty minutes ago; the relay then ends it."""
    stage["relay"].signal(signal.SIGKILL)
    await stage["relay"].gone()
    with psycopg.connect(stage.database.url) as connection:
        connection.execute(_OLD_EXPORT)
    try:
        yield
    finally:
        stage["relay"].launch()


@asynccontextmanager
async def _clock_wrong(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Have one process read a clock that is ten minutes behind, as on a host whose NTP has stopped."""
    spare = stage.declare_spare_api("api-9")
    spare.launch(failpoint=failpoints.CLOCK_BEHIND)
    try:
        await spare.ready()
        yield
    finally:
        spare.signal(signal.SIGKILL)
        await spare.gone()


@asynccontextmanager
async def _tables_locked(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Lock the tables again and again, as maintenance does."""

    def lock() -> None:
        with psycopg.connect(stage.database.url) as connection:
            connection.execute("LOCK TABLE shipments_shipment, shipments_shipmentevent, shipments_unnumberedevent")
            time.sleep(_LOCK_SECONDS)

    async def lock_repeatedly() -> None:
        while True:
            await asyncio.to_thread(lock)

    task = asyncio.create_task(lock_repeatedly())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _database_put_back(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    backup = BaseBackup(stage.database)
    await asyncio.sleep(_WRITING_SECONDS)
    backup.restore()
    yield


@asynccontextmanager
async def _cache_misses(_: ProductStage, traffic: BackgroundTraffic) -> AsyncIterator[None]:
    traffic.bypass_cache = True
    try:
        yield
    finally:
        traffic.bypass_cache = False


@asynccontextmanager
async def _event_loop_blocked(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Stop a process for a second, again and again."""

    async def stop_repeatedly() -> None:
        while True:
            stage[WS_ROLES[1]].signal(signal.SIGSTOP)
            await asyncio.sleep(1.2)
            stage[WS_ROLES[1]].signal(signal.SIGCONT)
            await asyncio.sleep(1.0)

    task = asyncio.create_task(stop_repeatedly())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        stage[WS_ROLES[1]].signal(signal.SIGCONT)


@asynccontextmanager
async def _api_hung(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    async with stopped(stage, API_ROLES[0]):
        yield


@asynccontextmanager
async def _chain_locked(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Hold a table that only the audit chain needs."""
    connection = await psycopg.AsyncConnection.connect(stage.database.url)
    async with connection:
        await connection.execute("LOCK TABLE shipments_auditlink")
        yield


@asynccontextmanager
async def _row_locked(stage: ProductStage, traffic: BackgroundTraffic) -> AsyncIterator[None]:
    """Hold a shipment's row while forty writers want it."""

    async def write(number: int) -> None:
        client = HttpClient(stage.port, stage.seeded.api_keys[number % len(stage.seeded.api_keys)])
        while True:
            with contextlib.suppress(NotSent, NoResponse):
                await client.request("PATCH", f"/api/shipments/{traffic.reference}", {"pieces": 1}, If_Match="*")

    connection = await psycopg.AsyncConnection.connect(stage.database.url)
    async with connection:
        await connection.execute(
            "SELECT 1 FROM shipments_shipment WHERE reference = %s FOR UPDATE", [traffic.reference]
        )
        writers = [asyncio.create_task(write(number)) for number in range(_BLOCKED_WRITERS)]
        try:
            yield
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)


@asynccontextmanager
async def _login_flood(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    """Strangers from many addresses log in at one process, more than may wait for their passwords to be hashed."""

    async def log_in(number: int) -> None:
        for attempt in itertools.count():
            client = HttpClient(stage[API_ROLES[0]].socket, "")
            body = {"email": f"{number}.{attempt}@strangers.test", "password": "wrong"}
            address = f"10.{number}.{attempt // 250}.{attempt % 250}"
            with contextlib.suppress(NotSent, NoResponse):
                await client.request("POST", "/api/auth/login", body, X_Forwarded_For=address)
            client.abort()
            await asyncio.sleep(_LOGIN_PAUSE_SECONDS)

    strangers = [asyncio.create_task(log_in(number)) for number in range(_STRANGERS)]
    try:
        yield
    finally:
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


@asynccontextmanager
async def _nginx_frozen(stage: ProductStage, _: BackgroundTraffic) -> AsyncIterator[None]:
    with stage.frozen(stage.nginx):
        yield


def _missing_for_disk_full() -> str:
    return "" if machine_faults.can_mount() else "only root may attach a disk that can be filled"


_ERRORS: Final = frozenset(
    {"HighErrorRate", "AvailabilityBurnsFast", "AvailabilityBurns", "AvailabilityBurnsSlowly"}
)

FAULTS: Final = (
    Fault("a clock is wrong", _clock_wrong, frozenset({"ClockSkew"}), wave=1),  # before Redis, to be ready at once
    Fault("Redis frozen", _redis_frozen, frozenset({"RedisDown", "HintsFail", "SlowDeliveries"}), wave=1),
    Fault(
        "a process eats memory",
        machine_faults.memory_eaten,
        frozenset({"HighMemoryUsage", "MemoryAboveBudget"}),
        wave=1,
    ),
    Fault("PostgreSQL stopped", _database_stopped, _ERRORS | {"DatabaseDown"}, wave=2),
    # Not with a killed process: until it is fenced some scrapes fail, and a crash is seen for seconds only. And not
    # with a wrong clock, by which heartbeats look old.
    Fault("an api process hangs", _api_hung, frozenset({"ProcessHung"}), wave=2),
    Fault("the database is put back", _database_put_back, frozenset({"DatabaseWentBack"})),
    Fault("nobody asks for the same twice", _cache_misses, frozenset({"LowCacheHitRate"})),
    Fault("a ws process does not get to run", _event_loop_blocked, frozenset({"EventLoopLags"})),
    # What is known not to answer is not waited for: nothing is slow.
    Fault("PostgreSQL frozen", _database_frozen, frozenset({"DatabaseDown"})),
    # `request_duration_ms` is of the last minute, whatever the window of the rule.
    Fault(
        "tables locked",
        _tables_locked,
        frozenset({"SlowDatabaseQueries", "SlowAnswers", "HighLatency"}),
        fires_seconds=100,  # the latency is that of a whole minute, most of it without the fault
        clears_seconds=100,
    ),
    Fault(
        "relay killed",
        _relay_killed,
        frozenset({"RelayLags", "RelayDown", "ProcessMissing", "ProcessCrashes", "QueueNotWorked", "JobsWaitLong"}),
        wave=3,
    ),
    Fault("a row is locked", _row_locked, frozenset({"DatabasePoolExhausted"})),
    Fault("a worker of the relay is locked out", _chain_locked, frozenset({"RelayWorkerStalls"}), fires_seconds=75),
    Fault("strangers log in", _login_flood, frozenset({"LoginsRefused"})),
    Fault("nginx says nothing", _nginx_frozen, frozenset({"FreightDown"})),
    Fault("every processor busy", machine_faults.processors_busy, frozenset({"HighCpu"})),
    Fault(
        "the disk is full",
        machine_faults.disk_full,
        frozenset({"DiskAlmostFull"}),
        missing_requirement=_missing_for_disk_full,
    ),
    Fault("a file of another host", machine_faults.export_file_missing, frozenset({"ExportFilesMissing"})),
    Fault("clients stop reading", socket_faults.stopped_reading, frozenset({"SlowConsumers"})),
    Fault("very many sockets", socket_faults.many_sockets, frozenset({"ManySockets"})),
)
