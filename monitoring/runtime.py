"""What a process reports while it runs: its name, gauges and a status every second, the lag of its event loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, close_old_connections
from django.db.backends.postgresql.base import DatabaseWrapper

from monitoring import clock, fencing, gateway_errors, metrics
from monitoring.dependencies import breaker
from monitoring.dependencies.breaker import BreakerState
from monitoring.heartbeat import heartbeat, notify_watchdog
from monitoring.prometheus import multiprocess, registrations
from monitoring.prometheus.hosts import HostAggregator

_log = structlog.get_logger("monitoring.runtime")
_TICK_SECONDS: Final = 1.0
_HEARTBEAT_SECONDS: Final = 0.5
_STOP_SECONDS: Final = 1.0
_LAG_INTERVAL_SECONDS: Final = 0.25
# The gauge shows the longest lag of this many samples, about 15 seconds.
_LAG_SAMPLES: Final = 60

hosts: Final = HostAggregator()
_samplers: list[Callable[[], None]] = []
_host_measurements: list[tuple[float, Callable[[], None]]] = []
_lock = threading.Lock()
_stopped = threading.Event()
_pool_status: dict[str, int] = {}
_threads: dict[str, threading.Thread] = {}
_lag_tasks: dict[asyncio.AbstractEventLoop, "asyncio.Task[None]"] = {}


def sample_every_second(sample: Callable[[], None]) -> None:
    """Call `sample` once a second in every registered process; it sets gauges and does not wait."""
    _samplers.append(sample)


def measure_once_per_host(measure: Callable[[], None], *, interval: float) -> None:
    """Call `measure` every `interval` seconds in one process of the host; it may query and wait."""
    _host_measurements.append((interval, measure))


def start_reporting(role: str, name: str = "") -> None:
    """Register this process and start its reporting threads; call it after the last fork.

    `name`: `<role>-…`; by default the lowest free number of the role.
    """
    name = registrations.register(role, name)
    metrics.process_crashes.labels(name)  # from 0: an increase is seen only from there
    breaker.publish_states()
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from monitoring.tracing import opentelemetry_recorder  # needs the extra `tracing`

        opentelemetry_recorder.start_exporting(name)
    _stopped.clear()
    with _lock:
        for target in (_record_heartbeat, _report, _measure, _count_gateway_errors):
            if target.__name__ not in _threads:
                thread = threading.Thread(target=target, name=f"metrics{target.__name__}", daemon=True)
                _threads[target.__name__] = thread
                thread.start()
    _log.info("metrics", process=name, folder=str(multiprocess.metrics_directory() or ""))


def stop_reporting() -> None:
    """End the threads and say that this process ends in order; one that does not passes for one that crashed."""
    _stopped.set()
    with _lock:
        threads = list(_threads.values())
        _threads.clear()
    deadline = time.monotonic() + _STOP_SECONDS
    for thread in threads:  # the heartbeat first: it would register the process again
        thread.join(max(0.0, deadline - time.monotonic()))
    registrations.unregister()


def _record_heartbeat() -> None:
    # A thread of its own: no Redis and no slow disk may make a living process look dead.
    while not _stopped.wait(_HEARTBEAT_SECONDS):
        registrations.record_heartbeat(time.time() - heartbeat.age())
        notify_watchdog()
        fencing.update()


def _count_gateway_errors() -> None:
    gateway_errors.listen(Path(settings.GATEWAY_SOCKET), hosts, _stopped)


def _report() -> None:
    pause = 0.0
    while not _stopped.wait(pause):
        started = time.monotonic()
        try:
            _sample_pool()
            for sample in _samplers:
                sample()
            hosts.publish()
            breaker.report_state("redis_hosts", BreakerState.OPEN if hosts.is_partial else BreakerState.CLOSED)
        except Exception:  # noqa: BLE001  the thread must go on, whatever an app raises
            if not threading.main_thread().is_alive():
                return
            _log.warning("metrics not reported", exc_info=True)
        pause = max(0.1, _TICK_SECONDS - (time.monotonic() - started))


def _measure() -> None:
    due = [0.0] * len(_host_measurements)
    _refresh_clock()
    while not _stopped.wait(_TICK_SECONDS):
        for index, (interval, measure) in enumerate(_host_measurements):
            if hosts.is_leader and time.monotonic() >= due[index]:
                due[index] = time.monotonic() + interval
                try:
                    try:
                        measure()
                    finally:
                        close_old_connections()
                except Exception as error:  # noqa: BLE001  as above
                    _log.info("not measured", measure=measure.__name__, error=repr(error))
        _refresh_clock()


def _refresh_clock() -> None:
    """Compare the clocks, in a process that no health check does it for."""
    try:
        try:
            clock.refresh()
        finally:
            close_old_connections()
    except Exception as error:  # noqa: BLE001  as above
        _log.info("clock not compared", error=repr(error))


def _sample_pool() -> None:
    # Django has no public name for the pool. It is not in the stubs either.
    pool: Any = DatabaseWrapper._connection_pools.get(DEFAULT_DB_ALIAS)  # type: ignore[attr-defined]  # noqa: SLF001  as above
    if pool is not None:
        stats = pool.get_stats()
        idle, size = stats.get("pool_available", 0), stats.get("pool_size", 0)
        waiting = stats.get("requests_waiting", 0)
        set_pool_gauges(idle=idle, size=size, waiting=waiting)
        exhausted = _pool_status.get("exhaustedSeconds", 0) + 1 if waiting and not idle else 0
        _pool_status.update(used=size - idle, idle=idle, waiting=waiting, exhaustedSeconds=exhausted)


def pool_status() -> dict[str, int]:
    """Return the pool of requests of this process as it was a second ago; empty before there is one.

    `exhaustedSeconds`: for how many samples, one a second, no connection was idle while requests waited for one.
    """
    return dict(_pool_status)


def set_pool_gauges(*, idle: int, size: int, waiting: int, prefix: str = "") -> None:
    """Set the gauges of a connection pool; `prefix` tells it from the pool of requests."""
    for state, number in (("used", size - idle), ("idle", idle), ("waiting", waiting)):
        metrics.pool_connections.labels(multiprocess.process_name(), f"{prefix}{state}").set(number)


def measure_loop_lag() -> None:
    """Measure the lag of the running event loop from now on; a second call does nothing."""
    loop = asyncio.get_running_loop()
    if loop not in _lag_tasks:
        _lag_tasks[loop] = loop.create_task(_measure_loop_lag(loop))


async def _measure_loop_lag(loop: asyncio.AbstractEventLoop) -> None:
    lags: list[float] = []
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            expected = loop.time() + _LAG_INTERVAL_SECONDS
            await asyncio.sleep(_LAG_INTERVAL_SECONDS)
            heartbeat.beat()
            lags = [*lags[-_LAG_SAMPLES + 1 :], max(0.0, loop.time() - expected)]
            metrics.loop_lag.labels(multiprocess.process_name()).set(max(lags))
    _lag_tasks.pop(loop, None)
