"""How a process reports on itself while it runs: its name, a note every second, the lag of its event loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, close_old_connections
from django.db.backends.postgresql.base import DatabaseWrapper

from monitoring import metrics, shared
from monitoring.cluster import Cluster

_log = structlog.get_logger("monitoring.runtime")
_TICK_SECONDS: Final = 1.0
_LOOP_SECONDS: Final = 0.25
# The lag that is shown is the longest of so many looks, about 15 seconds.
_LOOKS: Final = 60

cluster: Final = Cluster()
_samplers: list[Callable[[], None]] = []
_measures: list[tuple[float, Callable[[], None]]] = []
_lock = threading.Lock()
_threads: dict[str, threading.Thread] = {}
_loops: dict[asyncio.AbstractEventLoop, "asyncio.Task[None]"] = {}


def every_second(sample: Callable[[], None]) -> None:
    """This will call `sample` once a second in every process that has entered; it sets gauges and returns soon."""
    _samplers.append(sample)


def once_a_host(measure: Callable[[], None], *, every: float) -> None:
    """This will call `measure` every so many seconds in one process of the host; it may query and wait."""
    _measures.append((every, measure))


def enter(role: str) -> None:
    """This will give this process its name among metrics and let it report. Never before a fork."""
    name = shared.enter(role)
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from monitoring import spans  # the extra `tracing`, which nobody else needs

        spans.start(name)
    with _lock:
        for work in (_report, _measure):
            if work.__name__ not in _threads:
                thread = threading.Thread(target=work, name=f"metrics{work.__name__}", daemon=True)
                _threads[work.__name__] = thread
                thread.start()
    _log.info("metrics", process=name, folder=str(shared.folder() or ""))


def _report() -> None:
    while True:
        started = time.monotonic()
        try:
            _sample_pool()
            for sample in _samplers:
                sample()
            cluster.tick()
        except Exception:  # noqa: BLE001  what is wrong with reporting must not end it
            if not threading.main_thread().is_alive():
                return
            _log.warning("not reported", exc_info=True)
        time.sleep(max(0.1, _TICK_SECONDS - (time.monotonic() - started)))


def _measure() -> None:
    due = [0.0] * len(_measures)
    while True:
        time.sleep(_TICK_SECONDS)
        for index, (every, measure) in enumerate(_measures):
            if cluster.leads and time.monotonic() >= due[index]:
                due[index] = time.monotonic() + every
                try:
                    try:
                        measure()
                    finally:
                        close_old_connections()
                except Exception as error:  # noqa: BLE001  the database is away: the number stays what it was
                    _log.info("not measured", measure=measure.__name__, error=repr(error))


def _sample_pool() -> None:
    pool: Any = DatabaseWrapper._connection_pools.get(DEFAULT_DB_ALIAS)  # type: ignore[attr-defined]  # noqa: SLF001  the property would open one
    if pool is not None:
        found = pool.get_stats()
        idle, size = found.get("pool_available", 0), found.get("pool_size", 0)
        show_pool(idle=idle, size=size, waiting=found.get("requests_waiting", 0))


def show_pool(*, idle: int, size: int, waiting: int, prefix: str = "") -> None:
    """This will show how a pool of this process is used; `prefix` tells it from the one of requests."""
    for state, number in (("used", size - idle), ("idle", idle), ("waiting", waiting)):
        metrics.pool_connections.labels(shared.name(), f"{prefix}{state}").set(number)


def watch_loop() -> None:
    """This will measure the lag of the running event loop from now on; asked for again it changes nothing."""
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        _loops[loop] = loop.create_task(_look_at_loop(loop))


async def _look_at_loop(loop: asyncio.AbstractEventLoop) -> None:
    lags: list[float] = []
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            expected = loop.time() + _LOOP_SECONDS
            await asyncio.sleep(_LOOP_SECONDS)
            lags = [*lags[-_LOOKS + 1 :], max(0.0, loop.time() - expected)]
            metrics.loop_lag.labels(shared.name()).set(max(lags))
    _loops.pop(loop, None)
