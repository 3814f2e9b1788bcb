"""The faults: what is done to real processes, which alerts that must fire, and how it is mended."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from freight.drills.alerts import faults_machine, faults_sockets
from freight.drills.alerts.load import Load
from freight.drills.delivery.stage import SOCKETS, Stage

Cause = Callable[[Stage, Load], AbstractAsyncContextManager[None]]
_LOCKED_SECONDS: Final = 0.8


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, for as long as its block runs, and the alerts that it must set off.

    `wave`: those of one number are caused together in the quick form; 0: not at all in that.
    `fires_seconds`, `clears_seconds`: how long the alerts may take, and stay when it is mended.
    `needs`: what this machine lacks for it, empty where it can be caused.
    """

    name: str
    cause: Cause
    alerts: frozenset[str]
    wave: int = 0
    fires_seconds: float = 45.0
    clears_seconds: float = 45.0
    needs: Callable[[], str] = str


@asynccontextmanager
async def _redis_frozen(stage: Stage, _: Load) -> AsyncIterator[None]:
    stage.frozen(stage.hints.freeze())
    try:
        yield
    finally:
        stage.hints.thaw()
        stage.thawed()


@asynccontextmanager
async def _database_stopped(stage: Stage, _: Load) -> AsyncIterator[None]:
    stage.database.crash()
    try:
        yield
    finally:
        stage.database.launch()
        await asyncio.to_thread(stage.database.wait_ready)


@asynccontextmanager
async def _database_frozen(stage: Stage, _: Load) -> AsyncIterator[None]:
    stage.frozen(stage.database.freeze())
    try:
        yield
    finally:
        stage.database.thaw()
        stage.thawed()


@asynccontextmanager
async def _relay_killed(stage: Stage, _: Load) -> AsyncIterator[None]:
    stage.signal("relay", signal.SIGKILL)
    await stage.gone("relay")
    try:
        yield
    finally:
        stage.launch("relay")


@asynccontextmanager
async def _tables_locked(stage: Stage, _: Load) -> AsyncIterator[None]:
    """Somebody's maintenance: queries wait for tables again and again."""

    def lock() -> None:
        with psycopg.connect(stage.database.url) as connection:
            connection.execute("LOCK TABLE shipments_shipment, shipments_shipmentevent, shipments_unnumberedevent")
            time.sleep(_LOCKED_SECONDS)

    async def go_on() -> None:
        while True:
            await asyncio.to_thread(lock)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _nobody_asks_twice(_: Stage, load: Load) -> AsyncIterator[None]:
    load.cold = True
    try:
        yield
    finally:
        load.cold = False


@asynccontextmanager
async def _loop_held(stage: Stage, _: Load) -> AsyncIterator[None]:
    """A process that does not get to run for a second, again and again."""

    async def go_on() -> None:
        while True:
            stage.signal(SOCKETS[1], signal.SIGSTOP)
            await asyncio.sleep(1.2)
            stage.signal(SOCKETS[1], signal.SIGCONT)
            await asyncio.sleep(1.0)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        stage.signal(SOCKETS[1], signal.SIGCONT)


@asynccontextmanager
async def _proxy_silent(stage: Stage, _: Load) -> AsyncIterator[None]:
    stage.freeze_proxy()
    try:
        yield
    finally:
        stage.thaw_proxy()


def _disk() -> str:
    return "" if faults_machine.may_attach_disks() else "only root may attach a disk that can be filled"


_ERRORS: Final = frozenset(
    {"HighErrorRate", "AvailabilityBurnsFast", "AvailabilityBurns", "AvailabilityBurnsSlowly"}
)

FAULTS: Final = (
    Fault("Redis frozen", _redis_frozen, frozenset({"RedisDown", "HintsFail", "SlowDeliveries"}), wave=1),
    Fault(
        "a process eats memory",
        faults_machine.memory_eaten,
        frozenset({"HighMemoryUsage", "MemoryAboveBudget"}),
        wave=1,
    ),
    Fault("PostgreSQL stopped", _database_stopped, _ERRORS | {"DatabaseDown"}, wave=2),
    Fault("nobody asks for the same twice", _nobody_asks_twice, frozenset({"LowCacheHitRate"})),
    Fault("a ws process does not get to run", _loop_held, frozenset({"EventLoopLags"})),
    # `request_duration_ms` is of the last minute, whatever the window of the rule.
    Fault(
        "PostgreSQL frozen",
        _database_frozen,
        frozenset({"DatabaseDown", "SlowAnswers", "HighLatency"}),
        fires_seconds=100,  # the latency is that of a whole minute, which began well
        clears_seconds=100,
    ),
    Fault("tables locked", _tables_locked, frozenset({"SlowDatabaseQueries", "SlowAnswers"})),
    Fault("relay killed", _relay_killed, frozenset({"RelayLags"})),
    Fault("nginx says nothing", _proxy_silent, frozenset({"FreightDown"})),
    Fault("every processor busy", faults_machine.processors_busy, frozenset({"HighCpu"})),
    Fault("the disk is full", faults_machine.disk_full, frozenset({"DiskAlmostFull"}), needs=_disk),
    Fault("clients stop reading", faults_sockets.stopped_reading, frozenset({"SlowConsumers"})),
    Fault("very many sockets", faults_sockets.many, frozenset({"ManySockets"})),
)
