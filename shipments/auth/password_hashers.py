"""Password hashes by OWASP's parameters, at most two at once in a process.

A hash is meant to cost memory and time, so a stranger who may ask for as many at once as he likes takes all of
both. Every hash of the process passes the one gate, whichever form, command or service asks for it.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from django.contrib.auth import hashers

from shipments import metrics

Result = TypeVar("Result")

# A hash takes some 30 ms of a core: a full queue is empty after a third of a second on a quiet machine.
SLOTS: Final = 2
QUEUE: Final = 20
WAIT_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 2


class HashingBusy(Exception):
    """More passwords are being checked than the process takes; `retry_after` in seconds."""

    retry_after = RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__("Many people are logging in just now; try again in a few seconds.")


class HashGate:
    """Runs hashes in a few threads of its own, and refuses those that would wait too long.

    In the threads of requests the allocator keeps the freed memory of a hash for each thread: sixteen of them held
    325 MB afterwards, two threads hold 40 MB.
    """

    def __init__(self, *, slots: int, queue: int, wait_seconds: float) -> None:
        self._slots, self._queue, self._wait_seconds = slots, queue, wait_seconds
        self._inside = threading.local()
        self.reset()

    def reset(self) -> None:
        """Forget the threads and what was under way: a forked process has neither."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._admitted = 0

    @property
    def is_full(self) -> bool:
        """Whether the next hash would be refused."""
        return self._admitted >= self._slots + self._queue

    def run(self, hash_password: Callable[[], Result]) -> Result:
        """Return the result of the call, which the next free thread makes; hold no connection meanwhile.

        Raises HashingBusy where the queue is full or no thread gets free in time, and what the call raises.
        """
        if getattr(self._inside, "is_inside", False):
            return hash_password()  # a hasher that calls itself
        future = self._submit(hash_password)
        try:
            return future.result(self._wait_seconds)
        except TimeoutError:
            if future.cancel():
                metrics.password_hashes_waiting.dec()
                metrics.password_hashes_refused.inc()
                raise HashingBusy from None
            return future.result()  # it has begun
        finally:
            with self._lock:
                self._admitted -= 1

    def _submit(self, hash_password: Callable[[], Result]) -> "Future[Result]":
        with self._lock:
            if self.is_full:
                metrics.password_hashes_refused.inc()
                raise HashingBusy
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._slots, thread_name_prefix="password-hash")
            metrics.password_hashes_waiting.inc()
            self._admitted += 1
            return self._executor.submit(self._run, hash_password)

    def _run(self, hash_password: Callable[[], Result]) -> Result:
        self._inside.is_inside = True
        metrics.password_hashes_waiting.dec()
        with metrics.password_hashes_in_use.track_inprogress():
            return hash_password()


gate: Final = HashGate(slots=SLOTS, queue=QUEUE, wait_seconds=WAIT_SECONDS)
os.register_at_fork(after_in_child=gate.reset)
# A hash of older parameters takes 100 MiB: one of those at a time.
_large_hash: Final = threading.Lock()


class Argon2Hasher(hashers.Argon2PasswordHasher):
    """Argon2id with 19 MiB, two passes and one lane (OWASP Password Storage Cheat Sheet, 2025).

    A hash of other parameters stays valid, and a login replaces it.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        """Hash a password; raises HashingBusy."""
        return gate.run(lambda: super(Argon2Hasher, self).encode(password, salt))

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether the password has this hash; raises HashingBusy."""
        return gate.run(lambda: self._verify(password, encoded))

    def _verify(self, password: str, encoded: str) -> bool:
        if self.decode(encoded)["memory_cost"] <= self.memory_cost:
            return super().verify(password, encoded)
        with _large_hash:
            return super().verify(password, encoded)


class PBKDF2Hasher(hashers.PBKDF2PasswordHasher):
    """Django's own, for hashes that were brought along: half a second of a core each."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """Hash a password; raises HashingBusy."""
        return gate.run(lambda: super(PBKDF2Hasher, self).encode(password, salt, iterations))

    def verify(self, password: str, encoded: str) -> bool:
        """Tell whether the password has this hash; raises HashingBusy."""
        return gate.run(lambda: super(PBKDF2Hasher, self).verify(password, encoded))
