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
PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Changes:
    """Policies `name → (most, window)` and keys `(policy, key) → most` (None: no limit) that differ."""

    revision: int = 0
    policies: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], int | None] = field(default_factory=dict)


@dataclass
class _State:
    changes: Changes = field(default_factory=Changes)
    watched_by: int = 0


_state: Final = _State()
_starting: Final = threading.Lock()


def current() -> Changes:
    """This will return the changes that this process knows of."""
    return _state.changes


def refresh() -> None:
    """This will read the changes, where there are new ones."""
    # Before the rows: whatever comes in between is read twice rather than not at all.
    revision = Revision.objects.values_list("number", flat=True).first() or 0
    if revision != _state.changes.revision:
        _state.changes = Changes(
            revision,
            {row.policy: (row.most, row.window) for row in PolicyLimit.objects.all()},
            {(row.policy, row.key): row.most for row in KeyLimit.objects.all()},
        )


def watch() -> None:
    """This will keep the changes fresh by a thread of this process; a second call does nothing."""
    if _state.watched_by == os.getpid():
        return
    with _starting:
        if _state.watched_by != os.getpid():
            _state.watched_by = os.getpid()
            threading.Thread(target=_watch, name="limits", daemon=True).start()


def _watch() -> None:
    pause = threading.Event()  # never set: it only waits
    was_well = True
    while True:
        try:
            refresh()
        except (DatabaseError, OSError) as error:
            if was_well:
                _log.warning("limits cannot be read: the last known ones hold", error=repr(error)[:300])
            was_well = False
        else:
            was_well = True
        finally:
            connection.close()  # back to the pool
        pause.wait(PAUSE_SECONDS)
