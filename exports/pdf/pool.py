"""The renderers of this process: a few, kept warm, each with one task at a time and a clock behind it."""

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

from exports.pdf import wire
from exports.pdf.folder import Folder, remove_left

_HOUSE: Final = Path(__file__).resolve().parents[2]
# What a renderer may know of its surroundings: where programs and fonts are.
_KEPT: Final = ("PATH", "HOME", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "XDG_CACHE_HOME", "LD_LIBRARY_PATH")
MOST_WAITING: Final = 16
TASK_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 300.0
_log: Final = structlog.get_logger("exports.pdf")


class Busy(Exception):
    """Every renderer has work, and enough others wait."""


class Failed(Exception):
    """A renderer could not do its task: the name of the error, and words that are meant for the caller."""

    def __init__(self, kind: str, reason: str = "") -> None:
        super().__init__(f"{kind}: {reason}" if reason else kind)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: its name, what it is about, and the bytes that go with it."""

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    seconds: float = TASK_SECONDS


@dataclass(frozen=True, slots=True)
class Done:
    """What was made, and what is told of it."""

    made: bytes
    about: Mapping[str, Any]


class _Renderer:
    """One process."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        # WeasyPrint lays its fonts down there and leaves them to whoever ends the process.
        self._folder = Folder()
        environment["TMPDIR"] = self._folder.path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "exports.pdf.renderer", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_HOUSE,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C at a terminal is for us, who end it in order
        )
        self._told = cast("IO[bytes]", self.process.stdin)
        self._answers = cast("IO[bytes]", self.process.stdout)
        self.idle_since = time.monotonic()

    def ask(self, task: Task) -> tuple[dict[str, Any], list[bytes]]:
        """This will have the task done; raises Failed where the process dies of it or takes too long."""
        clock = threading.Timer(task.seconds, self.process.kill)
        clock.daemon = True
        clock.start()
        head = {"task": task.name, "cpuSeconds": int(task.seconds) + 1, **task.about}
        try:
            wire.send(self._told, head, task.pieces)
            return wire.receive(self._answers)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            code = self.process.returncode or 0
            late = code in {-signal.SIGKILL, -signal.SIGXCPU}
            raise Failed("TooLong" if late else "Died", "") from error
        finally:
            clock.cancel()

    def end(self) -> None:
        """This will end the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self._told, self._answers):
            # What was not sent has nobody left to read it.
            with suppress(OSError):
                stream.close()
        self._folder.remove()


class Pool:
    """At most `size` renderers, started when they are needed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._change = threading.Condition()
        self._idle: list[_Renderer] = []
        self._running = 0
        self._waiting = 0
        self._closed = False
        # A child dies with the thread that started it: this one lives as long as the process.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="renderers")
        self._sweeper: threading.Timer | None = None
        remove_left()

    def run(self, task: Task) -> Done:
        """This will have a task done, in turn; raises Busy or Failed."""
        renderer = self._taken()
        worn = True
        try:
            answer, pieces = renderer.ask(task)
            worn = answer["worn"]
        finally:
            self._given_back(renderer, worn=worn)
        if "error" in answer:
            if not answer["reason"]:
                _log.error("drawing failed", task=task.name, error=answer["error"])
            raise Failed(answer["error"], answer["reason"])
        return Done(pieces[0], answer)

    def warm(self) -> None:
        """This will start a renderer unless one is there."""
        with self._change:
            if self._running or self._closed:
                return
            self._running += 1
        self._given_back(self._started(), worn=False)

    def processes(self) -> list[int]:
        """This will return the ids of the renderers that wait for work."""
        with self._change:
            return [renderer.process.pid for renderer in self._idle]

    def close(self) -> None:
        """This will end the renderers that wait for work; those at work end when they have done it."""
        with self._change:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._sweeper is not None:
                self._sweeper.cancel()
        for renderer in idle:
            renderer.end()
        self._starter.shutdown(wait=False)

    def _taken(self) -> _Renderer:
        with self._change:
            if self._waiting >= MOST_WAITING:
                raise Busy
            self._waiting += 1
            try:
                while not self._idle and self._running >= self.size:
                    self._change.wait()
            finally:
                self._waiting -= 1
            while self._idle:
                # The one that worked last: the others may fall asleep.
                renderer = self._idle.pop()
                if renderer.process.poll() is None:
                    return renderer
                renderer.end()
                self._running -= 1
            self._running += 1
        return self._started()

    def _started(self) -> _Renderer:
        try:
            return self._starter.submit(_Renderer).result()
        except BaseException:
            with self._change:
                self._running -= 1
                self._change.notify()
            raise

    def _given_back(self, renderer: _Renderer, *, worn: bool) -> None:
        renderer.idle_since = time.monotonic()
        with self._change:
            ended = worn or self._closed
            if ended:
                self._running -= 1
            else:
                self._idle.append(renderer)
                self._watch()
            self._change.notify()
        if ended:
            renderer.end()

    def _watch(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(IDLE_SECONDS, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        """This will end the renderers that nobody has needed for a while."""
        since = time.monotonic() - IDLE_SECONDS
        with self._change:
            self._sweeper = None
            gone = [renderer for renderer in self._idle if renderer.idle_since <= since]
            self._idle = [renderer for renderer in self._idle if renderer.idle_since > since]
            self._running -= len(gone)
            if self._idle:
                self._watch()
        for renderer in gone:
            renderer.end()


_pool: Pool | None = None
_owner = 0
_making: Final = threading.Lock()


def shared() -> Pool:
    """This will return the pool of this process; one that a fork brought along is the parent's."""
    global _pool, _owner
    with _making:
        if _pool is None or _owner != os.getpid():
            _pool, _owner = Pool(max(2, os.cpu_count() or 1)), os.getpid()
        return _pool


@atexit.register
def close_shared() -> None:
    """This will end the renderers of this process; whoever asks after that gets others."""
    global _pool
    with _making:
        pool, _pool = _pool, None
    if pool is not None and _owner == os.getpid():
        pool.close()
