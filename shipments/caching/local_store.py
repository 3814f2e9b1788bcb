"""The in-process store of a cache: LRU, the least recently used entries are evicted first."""

import threading
from collections import OrderedDict


class LRUStore:
    """An LRU store of stamped entries, bounded in bytes; safe for threads."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._max_bytes, self._size = max_bytes, 0

    def get(self, key: str) -> tuple[bytes, bytes] | None:
        """Return stamp and body of an entry."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: str, stamp: bytes, body: bytes) -> None:
        """Store an entry in place of the one under this key, and evict others until the size fits."""
        with self._lock:
            self._drop(key)
            self._entries[key] = (stamp, body)
            self._size += len(key) + len(body)
            while self._size > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def _drop(self, key: str) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self._size -= len(key) + len(dropped[1])
