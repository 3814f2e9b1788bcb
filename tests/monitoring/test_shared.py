"""One folder, many processes: sums over all, gauges of the living, nothing twice, nothing for ever."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.monitoring.counting import Counting


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[Counting]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Counting(tmp_path)) for _ in range(2)]


def _own(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def test_counts_of_all_processes_add_up_whoever_is_asked(processes: list[Counting]) -> None:
    one, two = processes
    one.say("count", "a", 3)
    two.say("count", "a", 4)
    two.say("count", "b", 1)
    one.say("observe", 0.5)
    two.say("observe", 1.5)

    for each in processes:
        assert each.say("total", "things_total", "kind=a") == "7.0"
        assert each.say("total", "things_total") == "8.0"
        assert each.say("total", "thing_seconds_bucket", "le=1.0") == "1.0"
        assert each.say("total", "thing_seconds_bucket", "le=2.0") == "2.0"
        assert each.say("total", "thing_seconds_count") == "2.0"
        assert each.say("total", "thing_seconds_sum") == "2.0"


def test_gauges_are_of_the_living_and_counts_outlive_their_process(processes: list[Counting]) -> None:
    one, two = processes
    for each, number in ((one, 5), (two, 7)):
        each.say("count", "a", number)
        each.say("set", "sockets", number)
        each.say("set", "worst", number)
        each.say("set", "newest", number)
    before = [one.say("total", name) for name in ("things_total", "sockets", "worst", "newest")]

    two.kill()

    assert before == ["12.0", "12.0", "7.0", "7.0"]
    assert [one.say("total", name) for name in ("things_total", "sockets", "worst", "newest")] == [
        "12.0", "5.0", "5.0", "5.0",
    ]  # fmt: skip


def test_the_folder_does_not_grow_with_the_dead(tmp_path: Path) -> None:
    with Counting(tmp_path) as stays:
        stays.say("total", "things_total")
        files = len(list(_own(tmp_path).glob("*.db")))
        for number in range(3):
            with Counting(tmp_path) as goes:
                goes.say("enter", "ws")
                goes.say("count", "a", 1)
            assert stays.say("total", "things_total") == f"{number + 1}.0"

        assert len(list(_own(tmp_path).glob("*.db"))) == files
        assert list(_own(tmp_path).glob("*.process")) == []


def test_who_is_killed_while_retiring_leaves_nothing_twice(tmp_path: Path) -> None:
    with Counting(tmp_path) as stays:
        with Counting(tmp_path) as goes:
            goes.say("count", "a", 3)
            identity = goes.say("identity")
        own = _own(tmp_path)
        left = {path: path.read_bytes() for path in own.glob(f"*_{identity}.db")}
        assert stays.say("total", "things_total") == "3.0"

        for path, content in left.items():
            path.write_bytes(content)  # as if it had been killed before it removed them

        assert orjson.loads((own / "retired.json").read_bytes())["holds"] == [identity]
        assert stays.say("total", "things_total") == "3.0"
        assert list(own.glob(f"*_{identity}.db")) == []
        assert stays.say("total", "things_total") == "3.0"


def test_a_broken_file_hides_nobody_else(tmp_path: Path) -> None:
    with Counting(tmp_path) as stays:
        stays.say("count", "a", 3)
        (_own(tmp_path) / "counter_1-1.db").write_bytes(b"")
        (_own(tmp_path) / "counter_2-1.db").write_bytes(b"\xff" * 64)
        (_own(tmp_path) / "retired.json").write_bytes(b"{")

        assert stays.say("total", "things_total") == "3.0"


def test_a_name_is_the_lowest_that_is_free(processes: list[Counting], tmp_path: Path) -> None:
    one, two = processes

    assert [one.say("enter", "ws"), two.say("enter", "ws")] == ["ws-1", "ws-2"]
    assert one.say("members") == "ws-1,ws-2"
    one.kill()
    with Counting(tmp_path) as three:
        assert three.say("enter", "ws") == "ws-1"
        assert two.say("members") == "ws-1,ws-2"


def test_a_frozen_process_holds_nobody_up(processes: list[Counting]) -> None:
    one, two = processes
    one.say("count", "a", 2)
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        assert two.say("total", "things_total") == "2.0"
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
