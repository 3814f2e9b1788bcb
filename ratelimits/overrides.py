"""The limits that operators have changed at run time, polled once a second off the request path.

They are stored in PostgreSQL, where a trigger counts the changes: a poll without a change reads one number. While
PostgreSQL does not answer, the last known limits apply.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from django.db import DatabaseError, connection

from ratelimits.models import KeyLimit, PolicyLimit, Revision

_log = structlog.get_logger("ratelimits")
# Every process applies a change within two seconds.
POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class LimitOverrides:
    """The changed policies `name → (most, window)` and keys `(policy, key) → most` (None: no limit)."""

    revision: int = 0
    policies: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], int | None] = field(default_factory=dict)


@dataclass
class _State:
    overrides: LimitOverrides = field(default_factory=LimitOverrides)
    poller_pid: int = 0


_state: Final = _State()
_start_lock: Final = threading.Lock()


def current() -> LimitOverrides:
    """Return the changes that this process has read last."""
    return _state.overrides


def refresh() -> None:
    """Read the changes, where their revision is new; raises DatabaseError."""
    # Read before the rows: a change in between is then read twice instead of not at all.
    revision = Revision.objects.values_list("number", flat=True).first() or 0
    if revision != _state.overrides.revision:
        _state.overrides = LimitOverrides(
            revision,
            {row.policy: (row.most, row.window) for row in PolicyLimit.objects.all()},
            {(row.policy, row.key): row.most for row in KeyLimit.objects.all()},
        )


def start_polling() -> None:
    """Start the thread that polls the changes; a second call in one process does nothing."""
    if _state.poller_pid == os.getpid():
        return
    with _start_lock:
        if _state.poller_pid != os.getpid():
            _state.poller_pid = os.getpid()
            threading.Thread(target=_poll_forever, name="limits", daemon=True).start()


def _poll_forever() -> None:
    pause = threading.Event()  # never set, only waited for
    is_reachable = True
    while True:
        try:
            refresh()
        except (DatabaseError, OSError) as error:
            if is_reachable:
                _log.warning("limits cannot be read: the last known ones apply", error=repr(error)[:300])
            is_reachable = False
        else:
            is_reachable = True
        finally:
            connection.close()  # back to the pool
        pause.wait(POLL_SECONDS)
