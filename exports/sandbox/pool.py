"""A pool of renderer processes: started on demand, one task at a time each, with a deadline for every task."""

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
from typing import IO, Any, Final, cast

import structlog

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
MAX_WAITING: Final = 16
TASK_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 300.0
_log: Final = structlog.get_logger("exports.sandbox")


class PoolBusy(Exception):
    """Every renderer is busy and the queue is full."""


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
    """A task: its name (see `renderer`), JSON parameters, byte strings, and its deadline in seconds."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    seconds: float = TASK_SECONDS


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The bytes that a task returned, and the JSON head of the response."""

    content: bytes
    metadata: Mapping[str, Any]


class _Renderer:
    """One renderer process and its pipes. Used by one thread at a time."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ENVIRONMENT if name in os.environ}
        # WeasyPrint copies fonts into TMPDIR and does not remove them when it is killed.
        self._scratch_directory = ScratchDirectory()
        environment["TMPDIR"] = self._scratch_directory.path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exports.sandbox.renderer", str(os.getpid())],
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
        head = {"task": task.name, "cpuSeconds": int(task.seconds) + 1, **task.parameters}
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
    """At most `size` renderers, started on demand and ended after `IDLE_SECONDS` without work. Thread-safe."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._change = threading.Condition()
        self._idle: list[_Renderer] = []
        self._running = 0
        self._waiting = 0
        self._closed = False
        # PDEATHSIG follows the thread that forked: this one lives as long as the process.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="renderers")
        self._idle_timer: threading.Timer | None = None
        remove_orphaned()

    def run(self, task: Task) -> TaskResult:
        """Run a task on a free renderer, waiting for one; raises PoolBusy, TaskFailed."""
        renderer = self._acquire()
        retire = True
        try:
            response, pieces = renderer.call(task)
            retire = response["worn"]
        finally:
            self._release(renderer, retire=retire)
        if "error" in response:
            if not response["reason"]:
                _log.error("renderer task failed", task=task.name, error=response["error"])
            raise TaskFailed(response["error"], response["reason"])
        return TaskResult(pieces[0], response)

    def warm(self) -> None:
        """Start a renderer unless one runs."""
        with self._change:
            if self._running or self._closed:
                return
            self._running += 1
        self._release(self._start(), retire=False)

    def processes(self) -> list[int]:
        """Return the process ids of the idle renderers."""
        with self._change:
            return [renderer.process.pid for renderer in self._idle]

    def close(self) -> None:
        """End the idle renderers; busy ones end after their task."""
        with self._change:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._idle_timer is not None:
                self._idle_timer.cancel()
        for renderer in idle:
            renderer.end()
        self._starter.shutdown(wait=False)

    def _acquire(self) -> _Renderer:
        with self._change:
            if self._waiting >= MAX_WAITING:
                raise PoolBusy
            self._waiting += 1
            try:
                while not self._idle and self._running >= self.size:
                    self._change.wait()
            finally:
                self._waiting -= 1
            while self._idle:
                # Most recently used first, so that surplus renderers reach the idle timeout.
                renderer = self._idle.pop()
                if renderer.process.poll() is None:
                    return renderer
                renderer.end()
                self._running -= 1
            self._running += 1
        return self._start()

    def _start(self) -> _Renderer:
        try:
            return self._starter.submit(_Renderer).result()
        except BaseException:
            with self._change:
                self._running -= 1
                self._change.notify()
            raise

    def _release(self, renderer: _Renderer, *, retire: bool) -> None:
        renderer.idle_since = time.monotonic()
        with self._change:
            ended = retire or self._closed
            if ended:
                self._running -= 1
            else:
                self._idle.append(renderer)
                self._schedule_idle_check()
            self._change.notify()
        if ended:
            renderer.end()

    def _schedule_idle_check(self) -> None:
        if self._idle_timer is None:
            self._idle_timer = threading.Timer(IDLE_SECONDS, self._end_idle)
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _end_idle(self) -> None:
        """End the renderers that had no task for `IDLE_SECONDS`."""
        since = time.monotonic() - IDLE_SECONDS
        with self._change:
            self._idle_timer = None
            expired = [renderer for renderer in self._idle if renderer.idle_since <= since]
            self._idle = [renderer for renderer in self._idle if renderer.idle_since > since]
            self._running -= len(expired)
            if self._idle:
                self._schedule_idle_check()
        for renderer in expired:
            renderer.end()


_pool: RendererPool | None = None
_owner_pid = 0
_pool_lock: Final = threading.Lock()


def shared() -> RendererPool:
    """Return the pool of this process; after a fork the child makes its own."""
    global _pool, _owner_pid
    with _pool_lock:
        if _pool is None or _owner_pid != os.getpid():
            _pool, _owner_pid = RendererPool(max(2, os.cpu_count() or 1)), os.getpid()
        return _pool


@atexit.register
def close_shared() -> None:
    """End the renderers of this process; a later `shared()` makes a new pool."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None and _owner_pid == os.getpid():
        pool.close()
