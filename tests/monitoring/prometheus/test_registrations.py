"""Registrations say who lives, who hangs and who crashed; a frozen leader is stood in for."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitoring.prometheus import registrations
from tests.drills.harness.waiting import comes_true
from tests.monitoring.prometheus.counting_process import CountingProcess

# A heartbeat is written down twice a second; the rest is for a busy machine.
WELL_SECONDS = 10.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[CountingProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(CountingProcess(tmp_path)) for _ in range(2)]


def test_a_process_has_the_name_that_it_is_given_also_when_started_again(
    processes: list[CountingProcess], tmp_path: Path
) -> None:
    one, two = processes

    assert one.run("register", "ws", "ws-2") == "ws-2"
    assert two.run("register", "ws") == "ws-1"
    one.kill()
    with CountingProcess(tmp_path) as again:
        assert again.run("register", "ws", "ws-2") == "ws-2"
        assert two.run("processes") == "ws-1,ws-2"


def test_a_killed_process_is_found_once_and_one_that_ended_in_order_never(
    processes: list[CountingProcess], tmp_path: Path
) -> None:
    one, two = processes
    one.run("register", "ws")
    with CountingProcess(tmp_path) as ended, CountingProcess(tmp_path) as killed:
        ended.run("register", "api")
        killed.run("register", "relay")
        ended.run("unregister")

    assert one.run("crashes") == "relay-1"
    assert two.run("crashes") == ""
    assert one.run("crashed") == two.run("crashed") == "relay-1"
    assert one.run("processes") == "ws-1"


def test_what_a_machine_left_that_went_down_is_no_crash(processes: list[CountingProcess], tmp_path: Path) -> None:
    one, _ = processes
    with CountingProcess(tmp_path) as killed:
        killed.run("register", "relay")
    (registration,) = tmp_path.glob("*/relay-1@*.process")
    os.utime(registration, (0, 0))

    assert one.run("crashes") == one.run("crashed") == ""
    assert not registration.exists()


def test_a_process_that_hangs_has_an_old_heartbeat(processes: list[CountingProcess]) -> None:
    one, two = processes
    one.run("report", "ws")
    two.run("report", "ws")
    os.kill(two.process.pid, signal.SIGSTOP)
    try:
        assert comes_true(WELL_SECONDS, lambda: float(one.run("age", "ws-2")) > 2)
        assert float(one.run("age", "ws-1")) < 2
    finally:
        os.kill(two.process.pid, signal.SIGCONT)
    assert comes_true(WELL_SECONDS, lambda: float(one.run("age", "ws-2")) < 2)


def test_another_process_leads_while_the_leader_is_frozen(processes: list[CountingProcess], tmp_path: Path) -> None:
    one, two = processes
    directory = tmp_path
    assert one.run("lead", directory, "overdue") == "1"
    assert two.run("lead", directory, "in-time") == "False"

    assert two.run("lead", directory, "overdue") == "2"
    assert one.run("lead", directory, "in-time") == "1"
    assert two.run("yield", "1") == "0"
    one.kill()
    assert two.run("lead", directory, "in-time") == "1"


@pytest.mark.parametrize(
    ("role", "name", "fits"),
    [("api", "api-1", True), ("api", "api-web.2", True), ("api", "ws-1", False), ("api", "api", False),
     ("relay", "relay-1@2", False), ("relay", "relay-" + "x" * 41, False)],
)  # fmt: skip
def test_a_name_begins_with_its_role(role: str, name: str, fits: bool) -> None:
    assert registrations.is_name_of(role, name) is fits
