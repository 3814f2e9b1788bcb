"""Password hashes: their parameters, their cost, and the gate before them."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password
from prometheus_client import Counter, Gauge

from shipments import metrics
from shipments.auth.password_hashers import HashGate, HashingBusy

# The bound for what follows at once; a loaded machine meets it.
SECONDS = 20


class Work:
    """Calls that last until they are released, and how many of them ran at once."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.started = threading.Semaphore(0)
        self.running = self.most = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.started.release()
        assert self.released.wait(SECONDS)
        with self._lock:
            self.running -= 1
        return "hash"


@pytest.fixture
def work() -> Iterator[Work]:
    endless = Work()
    yield endless
    endless.released.set()


def value_of(metric: Gauge | Counter) -> float:
    return next(sample.value for family in metric.collect() for sample in family.samples)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_hash_has_owasps_parameters() -> None:
    assert make_password("correct horse battery").startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_an_older_hash_stays_valid_and_is_due_for_a_new_one() -> None:
    older = Argon2PasswordHasher().encode("correct horse battery", "saltsaltsaltsaltsaltsa")
    due: list[str] = []

    assert older.startswith("argon2$argon2id$v=19$m=102400,t=2,p=8$")
    assert check_password("correct horse battery", older, setter=due.append)
    assert due == ["correct horse battery"]
    assert not check_password("wrong", older, setter=due.append)


def test_a_hash_that_was_brought_along_passes_the_gate() -> None:
    brought = make_password("correct horse battery", hasher="pbkdf2_sha256")

    assert brought.startswith("pbkdf2_sha256$")
    assert check_password("correct horse battery", brought)


def test_never_more_run_than_there_are_slots(work: Work) -> None:
    gate = HashGate(slots=2, queue=20, wait_seconds=SECONDS)

    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(gate.run, work) for _ in range(20)]
        for _ in range(2):
            assert work.started.acquire(timeout=SECONDS)
        wait_for(lambda: value_of(metrics.password_hashes_waiting) == 18)
        assert value_of(metrics.password_hashes_in_use) == 2
        work.released.set()

    assert [result.result() for result in results] == ["hash"] * 20
    assert work.most == 2
    assert value_of(metrics.password_hashes_waiting) == value_of(metrics.password_hashes_in_use) == 0


def test_beyond_the_queue_it_refuses_at_once(work: Work) -> None:
    gate = HashGate(slots=1, queue=2, wait_seconds=SECONDS)
    refused = value_of(metrics.password_hashes_refused)

    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(gate.run, work) for _ in range(3)]
        wait_for(lambda: gate.is_full)
        with pytest.raises(HashingBusy) as busy:
            gate.run(work)
        work.released.set()

    assert busy.value.retry_after == 2
    assert value_of(metrics.password_hashes_refused) == refused + 1
    assert [result.result() for result in results] == ["hash"] * 3
    assert not gate.is_full


def test_whoever_waits_too_long_is_refused_and_leaves_the_queue(work: Work) -> None:
    gate = HashGate(slots=1, queue=1, wait_seconds=0.05)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gate.run, work)
        assert work.started.acquire(timeout=SECONDS)
        with pytest.raises(HashingBusy):
            gate.run(work)
        assert not gate.is_full
        work.released.set()

    assert first.result() == "hash"  # it has waited longer than anybody may, but not for a slot
    assert work.most == 1
    assert value_of(metrics.password_hashes_waiting) == 0


def test_a_hash_that_fails_frees_its_slot() -> None:
    gate = HashGate(slots=1, queue=0, wait_seconds=SECONDS)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            gate.run(lambda: 1 // 0)

    assert gate.run(lambda: "hash") == "hash"


def test_a_hasher_that_calls_itself_does_not_wait_for_itself() -> None:
    gate = HashGate(slots=1, queue=0, wait_seconds=SECONDS)

    assert gate.run(lambda: gate.run(lambda: "hash")) == "hash"


def test_forty_hashes_from_forty_threads_take_less_than_100_mb() -> None:
    measured = subprocess.run(
        [sys.executable, "-m", "tests.shipments.auth.hashing_process"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert int(measured.stdout) < 100
