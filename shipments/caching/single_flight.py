"""Single-flight: of several threads that need one value at the same time, one makes it and the others wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class SingleFlight:
    """Lets one thread make a value while the others that want it wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[object, Future[Any]] = {}

    def run(self, key: object, make: Callable[[], T], wait: float) -> T:
        """Return what `make` returns, called here or, at this moment, in another thread.

        That one is waited for so many seconds.
        """
        with self._lock:
            leader = self._in_flight.get(key)
            own: Future[T] = self._in_flight.setdefault(key, Future())
        if leader is not None:
            try:
                return leader.result(wait)  # type: ignore[no-any-return]
            except Exception:
                return make()
        try:
            value = make()
        except BaseException as error:
            own.set_exception(error)
            raise
        else:
            own.set_result(value)
            return value
        finally:
            with self._lock:
                del self._in_flight[key]
