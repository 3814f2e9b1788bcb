"""Points at which a process of the stage kills itself: patched in after the fork, unknown to the product."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

AFTER_COMMIT: Final = "after-commit"
BEFORE_COMMIT: Final = "before-commit"


def install(name: str) -> None:
    """Have this process die by SIGKILL at the failpoint of the first event that it writes."""
    {AFTER_COMMIT: _between_commit_and_hint, BEFORE_COMMIT: _before_commit}[name]()


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


def _patch(owner: Any, name: str, function: Callable[..., Any]) -> None:
    if not hasattr(owner, name):
        raise LookupError(f"{name} has another name now: update the failpoint.")
    setattr(owner, name, function)
