"""Single-flight: of several threads that need one value at the same time, one makes it and the others wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class SingleFlight:
    """Lets one thread, the leader, make a value while other threads wait for its result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[object, Future[Any]] = {}

    def run(self, key: object, make: Callable[[], T], wait: float) -> T:
        """Return the result of `make`, called here or by the leader for this key.

        The leader is waited for `wait` seconds; past them, or where it fails, `make` is called here.
        """
        with self._lock:
            leader = self._in_flight.get(key)
            own: Future[T] = self._in_flight.setdefault(key, Future())
        if leader is not None:
            try:
                return leader.result(wait)  # type: ignore[no-any-return]  # futures of all types share one dict
            except Exception:  # noqa: BLE001  late or failed, whatever the reason: the value is made here
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
