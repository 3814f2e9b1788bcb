"""Which process of a host adds it up and publishes it: the holder of a lock, or a stand-in while that is frozen."""

import atexit
import fcntl
from pathlib import Path
from typing import IO, Final

# One for the leader, one for each stand-in: so many processes of a host may be frozen at a time.
_RANKS: Final = 8


class Leadership:
    """The lock that this process holds, if any; the kernel releases it when the process ends, however it does.

    A frozen leader keeps its lock. Once its work is overdue, another process takes the lock of the next rank and
    does the work, until the first one does it again.
    """

    def __init__(self) -> None:
        self._lock: IO[str] | None = None
        # 1 for the leader, more for a stand-in, 0 without a lock.
        self.rank = 0

    def acquire(self, directory: Path, *, overdue: bool) -> bool:
        """Return whether this process leads; `overdue`: what the leader should have done has not been done."""
        if self._lock is not None:
            return True
        for rank in range(1, _RANKS + 1 if overdue else 2):
            lock = (directory / ("leader" if rank == 1 else f"leader-{rank}")).open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock, self.rank = lock, rank
            atexit.register(lock.close)
            return True
        return False

    def yield_to(self, rank: int) -> None:
        """Give the lock of a stand-in back: a process of a lower rank does the work again."""
        if self._lock is not None and rank < self.rank:
            self._lock.close()
            self._lock, self.rank = None, 0
