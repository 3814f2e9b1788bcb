"""Slots are shared fairly: a share for each tenant, and turns among those who wait."""

import threading
from collections.abc import Iterator

import pytest

from exports.fair_slots import FairSlots, SlotsBusy
from tests.drills.harness.waiting import wait_until


class Waiters:
    """Threads that wait for slots, each noted by its tenant when it is served."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots, self.served = slots, list[str]()
        self._threads: list[threading.Thread] = []

    def add(self, tenant: str) -> None:
        """Start a thread of a tenant, and return once it waits."""

        def wait() -> None:
            self.slots.acquire(tenant, timeout=30)
            self.served.append(tenant)

        thread = threading.Thread(target=wait)
        thread.start()
        self._threads.append(thread)
        wait_until(lambda: self.waiting() + len(self.served) == len(self._threads), seconds=10)

    def waiting(self) -> int:
        return sum(map(len, self.slots._waiting.values()))

    def join(self) -> None:
        while self.waiting():
            count = len(self.served)
            self.slots.release(self.served[-1] if self.served else "a")
            wait_until(lambda count=count: len(self.served) > count, seconds=10)  # type: ignore[misc]  # bound now
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def waiters() -> Iterator[Waiters]:
    waiters = Waiters(FairSlots(1, share=1, max_waiting=3))
    yield waiters
    waiters.join()


def test_those_who_wait_take_turns_by_tenant(waiters: Waiters) -> None:
    waiters.slots.acquire("a", timeout=0)
    for tenant in ("a", "a", "a", "b", "b", "c"):
        waiters.add(tenant)

    waiters.join()

    assert waiters.served == ["a", "b", "c", "a", "b", "a"]


def test_a_tenant_holds_its_share_while_slots_are_free() -> None:
    slots = FairSlots(3, share=2, max_waiting=1)
    slots.acquire("a", timeout=0)
    slots.acquire("a", timeout=0)

    with pytest.raises(SlotsBusy):
        slots.acquire("a", timeout=0.01)

    slots.acquire("b", timeout=0)
    slots.release("a")
    slots.acquire("a", timeout=0)


def test_a_slot_goes_to_another_tenant_where_the_first_has_its_share(waiters: Waiters) -> None:
    waiters.slots.acquire("b", timeout=0)
    waiters.add("b")
    waiters.add("a")

    waiters.slots.release("b")
    wait_until(lambda: waiters.served, seconds=10)

    assert waiters.served == ["b"]
    waiters.slots.release("b")
    wait_until(lambda: len(waiters.served) == 2, seconds=10)
    assert waiters.served == ["b", "a"]


def test_a_full_line_is_refused_and_those_of_others_are_not(waiters: Waiters) -> None:
    waiters.slots.acquire("a", timeout=0)
    for _ in range(3):
        waiters.add("a")

    with pytest.raises(SlotsBusy):
        waiters.slots.acquire("a", timeout=30)

    waiters.add("b")
    assert waiters.waiting() == 4


def test_nobody_overtakes_a_thread_of_the_same_tenant(waiters: Waiters) -> None:
    waiters.slots.acquire("a", timeout=0)
    waiters.add("a")

    assert not waiters.slots.try_acquire("a")


def test_a_wait_that_ends_in_vain_leaves_no_trace() -> None:
    slots = FairSlots(1, share=1, max_waiting=1)
    slots.acquire("a", timeout=0)
    with pytest.raises(SlotsBusy):
        slots.acquire("b", timeout=0.01)

    slots.release("a")

    assert (slots._waiting, dict(slots._holders)) == ({}, {})
    slots.acquire("c", timeout=0)
