"""What a process keeps of a cache for itself, and how its threads make one value once."""

import threading
from collections import OrderedDict


class LRUStore:
    """Stamped entries of this process, the least used forgotten first; bounded in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._max_bytes, self._size = max_bytes, 0

    def get(self, key: str) -> tuple[bytes, bytes] | None:
        """Return what was kept last, with its stamp."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: str, stamp: bytes, body: bytes) -> None:
        """Keep bytes in the place of those with another stamp."""
        with self._lock:
            self._drop(key)
            self._entries[key] = (stamp, body)
            self._size += len(key) + len(body)
            while self._size > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def _drop(self, key: str) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._size -= len(key) + len(dropped[1])
