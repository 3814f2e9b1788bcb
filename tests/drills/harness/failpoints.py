"""Points at which a process of the stage kills itself, and a wrong clock: patched in after the fork."""

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

AFTER_COMMIT: Final = "after-commit"
BEFORE_COMMIT: Final = "before-commit"
CLOCK_AHEAD: Final = "clock-ahead"
CLOCK_BEHIND: Final = "clock-behind"
# By how much a wrong clock is wrong.
CLOCK_SECONDS: Final = 600.0


def install(name: str) -> None:
    """Have this process die by SIGKILL at a point of the first event that it writes, or live by a wrong clock."""
    installers: dict[str, Callable[[], None]] = {
        AFTER_COMMIT: _between_commit_and_hint,
        BEFORE_COMMIT: _before_commit,
        CLOCK_AHEAD: partial(_shift_clock, CLOCK_SECONDS),
        CLOCK_BEHIND: partial(_shift_clock, -CLOCK_SECONDS),
    }
    installers[name]()


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _between_commit_and_hint() -> None:
    from shipments import log  # only in the child, where everything is loaded

    _patch(log, "_publish_event", _die)


def _before_commit() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from shipments import log

    recorded, record = threading.local(), log.record
    commit = getattr(BaseDatabaseWrapper, "_commit")  # noqa: B009  unknown to the stubs

    def record_and_mark(*args: Any, **kwargs: Any) -> Any:
        event = record(*args, **kwargs)
        recorded.any = True
        return event

    def die_or_commit(connection: BaseDatabaseWrapper) -> None:
        if getattr(recorded, "any", False):
            _die()
        commit(connection)

    _patch(log, "record", record_and_mark)
    _patch(BaseDatabaseWrapper, "_commit", die_or_commit)


def _shift_clock(seconds: float) -> None:
    """Have Django and the `time` module read the host's clock shifted; the monotonic clock stays right."""
    from django.utils import timezone

    wall, aware = time.time, timezone.now
    _patch(time, "time", lambda: wall() + seconds)
    _patch(timezone, "now", lambda: aware() + timedelta(seconds=seconds))


def _patch(owner: Any, name: str, function: Callable[..., Any]) -> None:
    if not hasattr(owner, name):
        raise LookupError(f"{name} has another name now: update the failpoint.")
    setattr(owner, name, function)
