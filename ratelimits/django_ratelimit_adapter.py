"""django-ratelimit as the source of windows: it says which counter a key has now and when its window ends.

The library counts in a cache of Django, one round trip for each limit. `CounterCache` stands in for that cache
(`CACHES["limits"]`) and only notes the counter's name, so that several are counted together: `ratelimits.counters`.
"""

import threading
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.core.cache.backends.base import BaseCache
from django_ratelimit.core import get_usage

from ratelimits.policies import Policy


class WindowCounter(NamedTuple):
    """The counter of a key in its current window, its lifetime and the rest of the window, in seconds."""

    name: str
    seconds: int
    time_left: int


class _CapturedCounter(threading.local):
    """The last counter that the library named in this thread."""

    name = ""
    seconds = 1


_captured: Final = _CapturedCounter()


class CounterCache(BaseCache):
    """The cache that django-ratelimit increments: it counts nothing and notes what is to be counted."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(
        self,
        key: str,
        value: Any,
        timeout: float | None = None,
        version: int | None = None,
    ) -> bool:
        """Note the counter and its lifetime; True means that it is new, so the library does not increment it."""
        _captured.name, _captured.seconds = key, int(timeout or 1)
        return True


def window_counters(hits: Iterable[tuple[Policy, str]]) -> list[WindowCounter]:
    """Return the counter of each key under the policy beside it."""
    return [_window_counter(policy, key) for policy, key in hits]


def _window_counter(policy: Policy, key: str) -> WindowCounter:
    # The rate names the window alone: a limit that is changed goes on counting where it was.
    window = get_usage(None, group=policy.name, key=lambda *_: key, rate=(1, policy.window), increment=True)
    return WindowCounter(_captured.name, _captured.seconds, int(window["time_left"]))
