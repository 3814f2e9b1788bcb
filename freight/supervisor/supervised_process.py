"""A process that is started again when it ends, ever more patiently."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from freight.supervisor.child_processes import ChildProcess
from freight.supervisor.terminal import Terminal

_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 15.0
# Who lived this long did not fail at starting.
_STABLE_SECONDS = 30.0


@dataclass
class SupervisedProcess:
    """One process of a role and how often it failed in a row."""

    name: str
    start: Callable[[], ChildProcess]
    child: ChildProcess
    failures: int = 0
    start_at: float | None = None

    def restart_if_ended(self, terminal: Terminal) -> None:
        """Start the process again when it has ended and its pause is over."""
        if self.child.poll() is None:
            return
        now = time.monotonic()
        if self.start_at is None:
            self.failures = 1 if now - self.child.started_at > _STABLE_SECONDS else self.failures + 1
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), _MAX_PAUSE_SECONDS)
            self.start_at = now + pause
            self.child.kill_group()  # what it may have left would keep its socket
            terminal.say(f"{self.name} ended (status {self.child.status}), again in {pause:g} s: {self.child.log}")
        elif now >= self.start_at:
            self.start_at = None
            self.child = self.start()
