"""Forked child processes: they log to a file, cannot outlive the supervisor, and get signals from it alone."""

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from freight.embedded.processes import die_with_parent
from freight.settings import logs
from freight.supervisor.port_probe import PortProbe
from monitoring.heartbeat import SharedHeartbeat, heartbeat


@dataclass
class ChildProcess:
    """A child process; `status` is None while it lives, then as in `subprocess.Popen.returncode`.

    `heartbeat`: what it tells of its main loop, or a probe of its port; None for a program that nobody asks.
    """

    pid: int
    log: Path
    started_at: float
    status: int | None = None
    heartbeat: SharedHeartbeat | PortProbe | None = None

    def poll(self) -> int | None:
        """Reap the child if it has ended; returns its status, None while it lives."""
        if self.status is None:
            pid, raw = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(raw)
                if self.heartbeat is not None:
                    self.heartbeat.close()
        return self.status

    def silent_seconds(self) -> float:
        """Return for how long its main loop has not turned or its port not answered; 0 before the first time."""
        return (self.heartbeat.age() or 0.0) if self.heartbeat is not None else 0.0

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the child unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill_group(self) -> None:
        """Send SIGKILL to the child's process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of its log, empty where there is none."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


def fork(target: Callable[[], object], *, log: Path) -> ChildProcess:
    """Run `target` in a forked child with a session of its own whose output goes to `log`.

    The caller has one thread and no event loop. The child exits with 0, with the code of a SystemExit, or with 1
    after an exception.
    """
    parent = os.getpid()
    shared = SharedHeartbeat()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return ChildProcess(pid=pid, log=log, started_at=time.monotonic(), heartbeat=shared)
    status = 1
    try:
        become_child(log, parent=parent)
        heartbeat.share(shared)
        faulthandler.enable()  # SIGABRT: where every thread is goes into the log
        logs.configure(level=settings.LOG_LEVEL)  # again: standard error is a file now, not a terminal
        target()
        status = 0
    except SystemExit as exit_request:
        status = exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
    except BaseException:  # noqa: BLE001  the child must not run its parent's code
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def become_child(log: Path, *, parent: int, when_orphaned: signal.Signals = signal.SIGKILL) -> None:
    """Give a forked process its own session, default signal handlers, and its log as output."""
    os.setsid()  # Ctrl-C in the terminal is for the supervisor alone
    die_with_parent(when_orphaned)
    if os.getppid() != parent:
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null_device = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(null_device, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def stop_all(children: list[ChildProcess], signum: signal.Signals, *, seconds: float) -> None:
    """Send a signal to the children, wait for them, and kill those that take longer than `seconds`."""
    for child in children:
        child.signal(signum)
    deadline = time.monotonic() + seconds
    while any(child.poll() is None for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in children:
        child.kill_group()
    while any(child.poll() is None for child in children):
        time.sleep(0.01)
