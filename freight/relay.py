"""The relay: background work that follows commits, once for the whole installation, as a declared list of workers.

Each worker polls the database; a hint about a commit, which may get lost, ends the sequencer's pause early.
Two relays may run: each batch takes an advisory lock in its transaction, so one works and the other is a standby.
A relay may be killed at any point: a batch is one transaction.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import close_old_connections, connection

from exports.background import export_worker, job_queue
from exports.file_imports import import_worker
from exports.reports import run_recorder, statistics
from exports.sandbox import pool
from monitoring import clock, metrics, runtime
from monitoring.heartbeat import heartbeat
from monitoring.prometheus import snapshots
from monitoring.queries import query_timing
from realtime.hub import commits
from shipments.services import idempotency
from shipments.services.accounts import expired_logins
from shipments.services.feed import audit_chain, sequencer
from shipments.services.fleet import position_partitions
from shipments.services.history import regressions
from shipments.services.shipments import automatic_flags

log = structlog.get_logger(__name__)
_MAX_PAUSE_SECONDS: Final = 5.0
_STOP_POLL_SECONDS: Final = 0.2
STALLED_SECONDS: Final = 30.0
# Commits that follow each other faster share a batch.
_MIN_BATCH_INTERVAL_SECONDS: Final = 0.025
# Slow batches take at most this part of the time, where they then begin as often as without any hint.
_MAX_BATCH_SHARE: Final = 0.5


@dataclass(frozen=True)
class Worker:
    """A loop over batches: `run_batch` returns how many items it did; after none the worker sleeps `idle_seconds`.

    `on_stop` is called when the relay stops, to interrupt a batch that may take long. Any other worker that has
    finished no batch for STALLED_SECONDS more than its pause is told to the operator. `wakeup` ends a sleep early.
    """

    name: str
    run_batch: Callable[[], int]
    idle_seconds: float
    on_stop: Callable[[], None] | None = None
    wakeup: "CommitWakeup | None" = None


class CommitWakeup:
    """Ends the pause of one worker when something was committed."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._batch_began_at = 0.0

    def set(self) -> None:
        """End the pause, or the next one if there is none now."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait for a commit and until the next batch may begin, both within `seconds`; call it before each one."""
        batch_seconds = time.monotonic() - self._batch_began_at
        self._event.wait(seconds)
        interval = min(max(batch_seconds / _MAX_BATCH_SHARE, _MIN_BATCH_INTERVAL_SECONDS), seconds)
        time.sleep(max(0.0, self._batch_began_at + interval - time.monotonic()))
        self._event.clear()  # before the batch reads what is committed
        self._batch_began_at = time.monotonic()


WORKERS: Final = (
    Worker("sequencer", sequencer.number_batch, 0.1, wakeup=CommitWakeup()),
    Worker("chain", audit_chain.link_batch, 0.25),
    Worker("watch", automatic_flags.evaluate_batch, 15),
    Worker("idempotency", idempotency.expire_batch, 300),
    Worker("expired logins", lambda: expired_logins.purge_batch(clock.now()), 300),
    Worker("positions", position_partitions.maintain, 600),
    # One more than one organisation may hold (job_queue.MAX_RUNNING_PER_ORGANIZATION).
    Worker("exports 1", export_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("exports 2", export_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("exports 3", export_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("killed exports", export_worker.requeue_stalled_batch, 1),
    Worker("expired exports", lambda: export_worker.expire_batch(clock.now()), 60),
    Worker("lost exports", lambda: run_recorder.fail_stale_batch(clock.now()), 60),
    Worker("imports 1", import_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("imports 2", import_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("imports 3", import_worker.work_batch, 0.5, job_queue.request_shutdown),
    Worker("killed imports", import_worker.requeue_stalled_batch, 1),
    Worker("old imports", lambda: import_worker.purge_batch(clock.now()), 600),
    Worker("old exports", lambda: statistics.purge_batch(clock.now()), 600),
)
# When each worker has finished its last batch, on the monotonic clock; the gauges are sampled before the first.
_finished_at: Final = dict.fromkeys((worker.name for worker in WORKERS), time.monotonic())


def run(stop: threading.Event, name: str = "") -> None:
    """Run every worker in a thread of its own until `stop` is set."""
    _finished_at.update(dict.fromkeys((worker.name for worker in WORKERS), time.monotonic()))
    snapshots.register_status("stalled", _stalled_status)
    runtime.sample_every_second(_set_stalled_gauges)
    runtime.start_reporting("relay", name)
    regressions.try_check()
    threads = [
        threading.Thread(target=_run_worker, args=(worker, stop), name=worker.name, daemon=True)
        for worker in WORKERS
    ]
    for thread in threads:
        thread.start()
    commits.listen_in_thread(_wake_workers)
    log.info("relay runs", workers=[worker.name for worker in WORKERS])
    # Not `stop.wait()`: its lock is not reentrant, and a signal handler that sets the event meanwhile can deadlock.
    while not stop.is_set():
        heartbeat.beat()
        time.sleep(_STOP_POLL_SECONDS)
    for worker in WORKERS:
        if worker.on_stop:
            worker.on_stop()
    for thread in threads:
        thread.join(5)
    regressions.try_check()  # what was written last is known to the next start
    pool.close_shared()
    runtime.stop_reporting()


def _wake_workers() -> None:
    for worker in WORKERS:
        if worker.wakeup:
            worker.wakeup.set()


def _run_worker(worker: Worker, stop: threading.Event) -> None:
    query_timing.task_name.set(f"relay {worker.name}")
    pause = worker.idle_seconds
    while not stop.wait(pause):
        if worker.wakeup:
            worker.wakeup.wait(worker.idle_seconds)
        started = time.monotonic()
        try:
            count = worker.run_batch()
        except Exception as error:  # noqa: BLE001  a worker must outlive any failure of a batch
            connection.close()
            pause = min(_MAX_PAUSE_SECONDS, max(pause, 0.25) * random.uniform(1.5, 2.5))  # noqa: S311  jitter
            log.warning("worker failed", worker=worker.name, error=repr(error), pause=round(pause, 2))
            continue
        _finished_at[worker.name] = time.monotonic()
        close_old_connections()
        pause = 0 if count or worker.wakeup else worker.idle_seconds
        if time.monotonic() - started > 1:
            log.info(
                "worker was slow", worker=worker.name, done=count, seconds=round(time.monotonic() - started, 1)
            )


def _stalled_seconds() -> dict[str, float]:
    """Return for how long each worker with short batches has finished none, beyond its pause between two."""
    now = time.monotonic()
    return {
        worker.name: max(0.0, now - _finished_at[worker.name] - worker.idle_seconds)
        for worker in WORKERS
        if worker.on_stop is None
    }


def _stalled_status() -> dict[str, list[str]]:
    stalled = {name: seconds for name, seconds in _stalled_seconds().items() if seconds > STALLED_SECONDS}
    if not stalled:
        return {"workers": []}
    return {"workers": [f"no progress for {max(stalled.values()):.0f} s: {', '.join(stalled)}"]}


def _set_stalled_gauges() -> None:
    for name, seconds in _stalled_seconds().items():
        metrics.relay_worker_stalled.labels(name).set(seconds)
