"""What a process keeps of a cache for itself, and how its threads make one value once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Memory:
    """Stamped entries of this process, the least used forgotten first; bounded in bytes."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._most, self._size = most, 0

    def get(self, key: str) -> tuple[bytes, bytes] | None:
        """This will return what was kept last, with its stamp."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: str, stamp: bytes, body: bytes) -> None:
        """This will keep bytes in the place of those with another stamp."""
        with self._lock:
            self._drop(key)
            self._kept[key] = (stamp, body)
            self._size += len(key) + len(body)
            while self._size > self._most:
                self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """This will forget everything."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    def _drop(self, key: str) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._size -= len(key) + len(gone[1])


class Flights:
    """Lets one thread make a value while the others that want it wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[object, Future[Any]] = {}

    def share(self, key: object, make: Callable[[], T], wait: float) -> T:
        """This will return what `make` returns, called here or, at this moment, in another thread.

        That one is waited for so many seconds.
        """
        with self._lock:
            other = self._flying.get(key)
            mine: Future[T] = self._flying.setdefault(key, Future())
        if other is not None:
            try:
                return other.result(wait)  # type: ignore[no-any-return]
            except Exception:  # noqa: BLE001  its failure need not be ours
                return make()
        try:
            made = make()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(made)
            return made
        finally:
            with self._lock:
                del self._flying[key]
