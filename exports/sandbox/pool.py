"""Pools of renderer processes: started on demand, one task at a time each, with a deadline for every task.

Files of strangers and documents have a pool each, so that the former cannot hold up the latter.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import structlog

from exports.fair_slots import FairSlots, SlotsBusy
from exports.sandbox import framing
from exports.sandbox.scratch_directory import ScratchDirectory, remove_orphaned

_PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
# A renderer sees no secrets: only where programs and fonts are.
_PASSED_ENVIRONMENT: Final = (
    "PATH",
    "HOME",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "XDG_CACHE_HOME",
    "LD_LIBRARY_PATH",
)
# Of one organisation, in each pool.
MAX_WAITING: Final = 8
WAIT_SECONDS: Final = 20.0
TASK_SECONDS: Final = 30.0
# What strangers sent is parsed when nothing else needs a processor.
_IMPORTS_NICENESS: Final = 10
IDLE_SECONDS: Final = 300.0
_log: Final = structlog.get_logger("exports.sandbox")


class PoolBusy(Exception):
    """Every renderer is busy, or the organisation has its share, and its queue is full or the wait too long."""


class TaskFailed(Exception):
    """A renderer could not do its task.

    `kind` is the name of the exception in the renderer, `TooLong` (out of time) or `Died`; `reason` is a text for
    the caller, or empty.
    """

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(f"{kind}: {reason}" if reason else kind)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True, slots=True)
class Task:
    """A task: its name (see `renderer`), JSON parameters, byte strings, and for which tenant it is done.

    `seconds`: its deadline. `cpu_seconds`: the processor time that it may take, the same where it is 0.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    seconds: float = TASK_SECONDS
    cpu_seconds: int = 0
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The bytes that a task returned, and the JSON head of the response."""

    content: bytes
    metadata: Mapping[str, Any]


class _Renderer:
    """One renderer process and its pipes. Used by one thread at a time."""

    def __init__(self, niceness: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ENVIRONMENT if name in os.environ}
        # WeasyPrint copies fonts into TMPDIR and does not remove them when it is killed.
        self._scratch_directory = ScratchDirectory()
        environment["TMPDIR"] = self._scratch_directory.path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exports.sandbox.renderer", str(os.getpid()), str(niceness)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_PROJECT_ROOT,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C must reach only the parent, which ends renderers in order
        )
        self._requests = cast("IO[bytes]", self.process.stdin)
        self._responses = cast("IO[bytes]", self.process.stdout)
        self.idle_since = time.monotonic()

    def call(self, task: Task) -> tuple[dict[str, Any], list[bytes]]:
        """Run one task and return head and pieces of the response.

        Raises TaskFailed where the process dies or misses the deadline; the process is ended then.
        """
        watchdog = threading.Timer(task.seconds, self.process.kill)
        watchdog.daemon = True
        watchdog.start()
        cpu_seconds = task.cpu_seconds or int(task.seconds) + 1
        head = {"task": task.name, "cpuSeconds": cpu_seconds, **task.parameters}
        try:
            framing.send(self._requests, head, task.pieces)
            return framing.receive(self._responses)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            code = self.process.returncode or 0
            timed_out = code in {-signal.SIGKILL, -signal.SIGXCPU}
            raise TaskFailed("TooLong" if timed_out else "Died", "") from error
        finally:
            watchdog.cancel()

    def end(self) -> None:
        """Kill the process and remove its scratch directory."""
        self.process.kill()
        self.process.wait()
        for stream in (self._requests, self._responses):
            with suppress(OSError):  # buffered bytes for a dead reader
                stream.close()
        self._scratch_directory.remove()


class RendererPool:
    """At most `size` renderers, started on demand and ended after `IDLE_SECONDS` without work. Thread-safe.

    One tenant has at most `share` of them at a time; those who wait for one take turns.
    """

    def __init__(self, size: int, *, share: int = 0, niceness: int = 0) -> None:
        self.size = size
        self._niceness = niceness
        self._slots = FairSlots(size, share=share or size, max_waiting=MAX_WAITING)
        self._lock = threading.Lock()
        self._idle: list[_Renderer] = []
        self._closed = False
        # PDEATHSIG follows the thread that forked: this one lives as long as the process.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="renderers")
        self._idle_timer: threading.Timer | None = None
        remove_orphaned()

    def run(self, task: Task) -> TaskResult:
        """Run a task on a free renderer, waiting for one; raises PoolBusy, TaskFailed."""
        try:
            self._slots.acquire(task.tenant, timeout=WAIT_SECONDS)
        except SlotsBusy:
            raise PoolBusy from None
        try:
            response, pieces = self._call(task)
        finally:
            self._slots.release(task.tenant)
        if "error" in response:
            if not response["reason"]:
                _log.error("renderer task failed", task=task.name, error=response["error"])
            raise TaskFailed(response["error"], response["reason"])
        return TaskResult(pieces[0], response)

    def warm(self) -> None:
        """Start a renderer unless one is idle."""
        if not self.processes():
            self._put_back(self._start())

    def processes(self) -> list[int]:
        """Return the process ids of the idle renderers."""
        with self._lock:
            return [renderer.process.pid for renderer in self._idle]

    def close(self) -> None:
        """End the idle renderers; busy ones end after their task."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._idle_timer is not None:
                self._idle_timer.cancel()
        for renderer in idle:
            renderer.end()
        self._starter.shutdown(wait=False)

    def _call(self, task: Task) -> tuple[dict[str, Any], list[bytes]]:
        """Run the task on an idle renderer, or a new one; the caller holds a slot."""
        renderer = self._take_idle() or self._start()
        retire = True
        try:
            response, pieces = renderer.call(task)
            retire = bool(response["worn"])
        finally:
            if retire:
                renderer.end()
            else:
                self._put_back(renderer)
        return response, pieces

    def _take_idle(self) -> _Renderer | None:
        """Return the idle renderer that was used last, so that surplus ones reach the idle timeout."""
        with self._lock:
            while self._idle:
                renderer = self._idle.pop()
                if renderer.process.poll() is None:
                    return renderer
                renderer.end()
        return None

    def _start(self) -> _Renderer:
        return self._starter.submit(_Renderer, self._niceness).result()

    def _put_back(self, renderer: _Renderer) -> None:
        renderer.idle_since = time.monotonic()
        with self._lock:
            if not self._closed:
                self._idle.append(renderer)
                self._schedule_idle_check()
                return
        renderer.end()

    def _schedule_idle_check(self) -> None:
        if self._idle_timer is None:
            self._idle_timer = threading.Timer(IDLE_SECONDS, self._end_idle)
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _end_idle(self) -> None:
        """End the renderers that had no task for `IDLE_SECONDS`."""
        since = time.monotonic() - IDLE_SECONDS
        with self._lock:
            self._idle_timer = None
            expired = [renderer for renderer in self._idle if renderer.idle_since <= since]
            self._idle = [renderer for renderer in self._idle if renderer.idle_since > since]
            if self._idle:
                self._schedule_idle_check()
        for renderer in expired:
            renderer.end()


def _make_pools() -> dict[str, RendererPool]:
    documents = max(3, os.cpu_count() or 1)
    return {
        "documents": RendererPool(documents, share=documents - 1),
        "imports": RendererPool(2, share=1, niceness=_IMPORTS_NICENESS),
    }


_pools: dict[str, RendererPool] = {}
_owner_pid = 0
_pool_lock: Final = threading.Lock()


def shared(name: Literal["documents", "imports"] = "documents") -> RendererPool:
    """Return a pool of this process; after a fork the child makes its own."""
    global _pools, _owner_pid
    with _pool_lock:
        if not _pools or _owner_pid != os.getpid():
            _pools, _owner_pid = _make_pools(), os.getpid()
        return _pools[name]


@atexit.register
def close_shared() -> None:
    """End the renderers of this process; a later `shared()` makes new pools."""
    global _pools
    with _pool_lock:
        pools, _pools = _pools, {}
    if _owner_pid == os.getpid():
        for pool in pools.values():
            pool.close()
