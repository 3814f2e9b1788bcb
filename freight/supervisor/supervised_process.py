"""A process that is restarted when it ends, with exponential backoff, and when it hangs."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from freight.supervisor.child_processes import ChildProcess
from freight.supervisor.terminal import Terminal

_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 15.0
# A process that ran this long starts over with the first pause.
_STABLE_SECONDS = 30.0
# More than any request may hold up an event loop, on whatever machine; nginx has long asked another process.
_HUNG_SECONDS = 8.0
# How long a process that hangs has to write down where it hangs. One that is stopped writes nothing.
_ABORT_SECONDS = 1.0


@dataclass
class SupervisedProcess:
    """One process and its consecutive failures.

    `start_at`: the monotonic time of a scheduled restart. `kill_at`: when one that hangs is killed.
    """

    name: str
    start: Callable[[], ChildProcess]
    child: ChildProcess
    failures: int = 0
    start_at: float | None = None
    kill_at: float | None = None

    def restart_if_ended(self, terminal: Terminal) -> None:
        """Schedule a restart of a process that has ended, or do it when its pause is over."""
        if self.child.poll() is None:
            return
        now = time.monotonic()
        self.kill_at = None
        if self.start_at is None:
            self.failures = 1 if now - self.child.started_at > _STABLE_SECONDS else self.failures + 1
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), _MAX_PAUSE_SECONDS)
            self.start_at = now + pause
            self.child.kill_group()  # children that it left would hold its socket
            terminal.say(f"{self.name} ended (status {self.child.status}), again in {pause:g} s: {self.child.log}")
        elif now >= self.start_at:
            self.start_at = None
            self.child = self.start()

    def kill_if_hung(self, terminal: Terminal) -> None:
        """End a process whose main loop does not turn: by SIGABRT, which it can log, then by SIGKILL."""
        if self.child.poll() is not None:
            return
        now = time.monotonic()
        if self.kill_at is not None:
            if now >= self.kill_at:
                self.child.signal(signal.SIGKILL)
        elif (seconds := self.child.silent_seconds()) > _HUNG_SECONDS:
            terminal.say(f"{self.name} hangs, silent for {seconds:.0f} s: it is ended and started again")
            self.child.signal(signal.SIGABRT)
            self.kill_at = now + _ABORT_SECONDS
