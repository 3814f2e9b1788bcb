"""Points at which a process of the stage kills itself or finds tables locked, and a wrong clock.

The product does not know them.
"""

import functools
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, Self

AFTER_COMMIT: Final = "after-commit"
BEFORE_COMMIT: Final = "before-commit"
CLOCK_AHEAD: Final = "clock-ahead"
CLOCK_BEHIND: Final = "clock-behind"
# By how much a wrong clock is wrong.
CLOCK_SECONDS: Final = 600.0
STRUCK: Final = "failpoint struck: "
# The product's own lock_timeout, two seconds, would make each row of a drill last as long.
_LOCK_TIMEOUT_MS: Final = 300
_LOCKED_SECONDS: Final = 0.8
# A lock that waits for this process's own transaction is not held by then, and holds up others all the same.
_LOCK_WAIT_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class CallPoint:
    """The first call of a function, as `module:name`, in one process: what happens before or after it.

    `after-true`: after the first call that returned something, in case several threads call it.

    `kill`: the process dies by SIGKILL. `lock`: another session holds `tables` for longer than the lock_timeout,
    which is short in this process.
    """

    action: Literal["kill", "lock"]
    when: Literal["before", "after", "after-true"]
    function: str
    tables: str = ""

    def __str__(self) -> str:
        return "|".join((self.action, self.when, self.function, self.tables))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `str` returned."""
        return cls(*text.split("|"))  # type: ignore[arg-type]  # written by __str__

    def install(self) -> None:
        """Patch the function of this process."""
        if self.action == "lock":
            _shorten_lock_timeout()
        module_name, _, path = self.function.partition(":")
        owner: Any = importlib.import_module(module_name)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        if not hasattr(owner, name):
            raise LookupError(f"{self.function} has another name now: update the failpoint.")
        original, is_first = getattr(owner, name), threading.Lock()

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.when == "before" and is_first.acquire(blocking=False):
                self._strike()
            result = original(*args, **kwargs)
            is_reached = self.when == "after" or (self.when == "after-true" and result)
            if is_reached and is_first.acquire(blocking=False):
                self._strike()
            return result

        setattr(owner, name, call)

    def _strike(self) -> None:
        print(f"{STRUCK}{self}", file=sys.stderr, flush=True)
        if self.action == "kill":
            _die()
        is_held = threading.Event()
        threading.Thread(target=_hold_lock, args=(self.tables, is_held), daemon=True).start()
        is_held.wait(_LOCK_WAIT_SECONDS)


def install(name: str) -> None:
    """Have this process die by SIGKILL at a point of the first event that it writes, or live by a wrong clock.

    Another name is the text of a CallPoint.
    """
    installers: dict[str, Callable[[], None]] = {
        AFTER_COMMIT: _between_commit_and_hint,
        BEFORE_COMMIT: _before_commit,
        CLOCK_AHEAD: partial(_shift_clock, CLOCK_SECONDS),
        CLOCK_BEHIND: partial(_shift_clock, -CLOCK_SECONDS),
    }
    installers.get(name, lambda: CallPoint.from_text(name).install())()


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _shorten_lock_timeout() -> None:
    from django.conf import settings  # only in the child, where everything is loaded

    options = settings.DATABASES["default"]["OPTIONS"]
    options["options"] = options["options"].replace("lock_timeout=2000", f"lock_timeout={_LOCK_TIMEOUT_MS}")


def _hold_lock(tables: str, is_held: threading.Event) -> None:
    import psycopg

    from shipments.selectors.async_pool import connection_arguments

    with psycopg.connect(**connection_arguments("failpoint", "")) as connection, connection.transaction():
        connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE".encode())
        is_held.set()
        time.sleep(_LOCKED_SECONDS)


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
