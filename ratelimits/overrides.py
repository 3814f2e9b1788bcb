"""What operators have changed at run time, as this process knows it: asked for once a second, off the request path.

PostgreSQL keeps it, and a trigger there counts the changes, so that an unchanged number is all that a look costs.
While PostgreSQL is out, what was known last goes on.
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
# Changes hold in every process within two seconds.
POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class LimitOverrides:
    """Policies `name → (most, window)` and keys `(policy, key) → most` (None: no limit) that differ."""

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
    """Return the changes that this process knows of."""
    return _state.overrides


def refresh() -> None:
    """Read the changes, where there are new ones."""
    # Before the rows: whatever comes in between is read twice rather than not at all.
    revision = Revision.objects.values_list("number", flat=True).first() or 0
    if revision != _state.overrides.revision:
        _state.overrides = LimitOverrides(
            revision,
            {row.policy: (row.most, row.window) for row in PolicyLimit.objects.all()},
            {(row.policy, row.key): row.most for row in KeyLimit.objects.all()},
        )


def start_polling() -> None:
    """Keep the changes fresh by a thread of this process; a second call does nothing."""
    if _state.poller_pid == os.getpid():
        return
    with _start_lock:
        if _state.poller_pid != os.getpid():
            _state.poller_pid = os.getpid()
            threading.Thread(target=_poll_forever, name="limits", daemon=True).start()


def _poll_forever() -> None:
    pause = threading.Event()  # never set: it only waits
    is_reachable = True
    while True:
        try:
            refresh()
        except (DatabaseError, OSError) as error:
            if is_reachable:
                _log.warning("limits cannot be read: the last known ones hold", error=repr(error)[:300])
            is_reachable = False
        else:
            is_reachable = True
        finally:
            connection.close()  # back to the pool
        pause.wait(POLL_SECONDS)
