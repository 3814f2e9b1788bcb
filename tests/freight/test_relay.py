"""The pause of the sequencer: a commit ends it, many commits share a batch, and without a hint it is short."""

import threading
import time

from freight import relay
from freight.relay import CommitWakeup

PAUSE = 0.1
ANY_MACHINE = 2.0


def test_a_hint_ends_the_pause() -> None:
    wakeup = CommitWakeup()
    threading.Timer(0.05, wakeup.set).start()

    began = time.monotonic()
    wakeup.wait(30)

    assert time.monotonic() - began < ANY_MACHINE


def test_a_hint_during_a_batch_begins_the_next_one() -> None:
    wakeup = CommitWakeup()
    wakeup.set()
    wakeup.wait(30)

    wakeup.set()  # the batch that has just begun may not see this commit
    began = time.monotonic()
    wakeup.wait(30)

    assert time.monotonic() - began < ANY_MACHINE


def test_without_a_hint_the_pause_ends_by_itself() -> None:
    wakeup = CommitWakeup()
    wakeup.wait(PAUSE)

    began = time.monotonic()
    wakeup.wait(PAUSE)

    assert PAUSE * 0.9 < time.monotonic() - began < ANY_MACHINE


def test_hints_that_come_all_the_time_cause_few_batches() -> None:
    wakeup = CommitWakeup()
    stop = threading.Event()
    batches = 0

    def send_hints() -> None:
        while not stop.wait(0.001):
            wakeup.set()

    sender = threading.Thread(target=send_hints)
    sender.start()
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        wakeup.wait(PAUSE)
        batches += 1
    seconds = time.monotonic() - began
    stop.set()
    sender.join()

    assert batches <= seconds / 0.025 + 1


def test_slow_batches_leave_half_of_the_time_to_others() -> None:
    wakeup = CommitWakeup()
    wakeup.wait(PAUSE)
    began = time.monotonic()
    time.sleep(0.2)  # the batch

    wakeup.set()
    wakeup.wait(1.0)

    assert time.monotonic() - began >= 0.39


def test_gauges_can_be_sampled_before_the_first_batch() -> None:
    assert {"sequencer", "watch"} <= set(relay._stalled_seconds())
