"""One folder, many processes: sums over all, gauges of the living, nothing twice, nothing for ever."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.monitoring.prometheus.counting_process import CountingProcess


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[CountingProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(CountingProcess(tmp_path)) for _ in range(2)]


def host_directory(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def test_counts_of_all_processes_add_up_whoever_is_asked(processes: list[CountingProcess]) -> None:
    one, two = processes
    one.run("count", "a", 3)
    two.run("count", "a", 4)
    two.run("count", "b", 1)
    one.run("observe", 0.5)
    two.run("observe", 1.5)

    for each in processes:
        assert each.run("total", "things_total", "kind=a") == "7.0"
        assert each.run("total", "things_total") == "8.0"
        assert each.run("total", "thing_seconds_bucket", "le=1.0") == "1.0"
        assert each.run("total", "thing_seconds_bucket", "le=2.0") == "2.0"
        assert each.run("total", "thing_seconds_count") == "2.0"
        assert each.run("total", "thing_seconds_sum") == "2.0"


def test_gauges_are_of_the_living_and_counts_outlive_their_process(processes: list[CountingProcess]) -> None:
    one, two = processes
    for each, number in ((one, 5), (two, 7)):
        each.run("count", "a", number)
        each.run("set", "sockets", number)
        each.run("set", "worst", number)
        each.run("set", "newest", number)
    before = [one.run("total", name) for name in ("things_total", "sockets", "worst", "newest")]

    two.kill()

    assert before == ["12.0", "12.0", "7.0", "7.0"]
    assert [one.run("total", name) for name in ("things_total", "sockets", "worst", "newest")] == [
        "12.0", "5.0", "5.0", "5.0",
    ]  # fmt: skip


def test_the_folder_does_not_grow_with_the_dead(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as stays:
        stays.run("total", "things_total")
        files = len(list(host_directory(tmp_path).glob("*.db")))
        for number in range(3):
            with CountingProcess(tmp_path) as goes:
                goes.run("enter", "ws")
                goes.run("count", "a", 1)
            assert stays.run("total", "things_total") == f"{number + 1}.0"

        assert len(list(host_directory(tmp_path).glob("*.db"))) == files
        assert list(host_directory(tmp_path).glob("*.process")) == []


def test_who_is_killed_while_retiring_leaves_nothing_twice(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as stays:
        with CountingProcess(tmp_path) as goes:
            goes.run("count", "a", 3)
            identity = goes.run("identity")
        own = host_directory(tmp_path)
        left = {path: path.read_bytes() for path in own.glob(f"*_{identity}.db")}
        assert stays.run("total", "things_total") == "3.0"

        for path, content in left.items():
            path.write_bytes(content)  # as if it had been killed before it removed them

        assert orjson.loads((own / "retired.json").read_bytes())["holds"] == [identity]
        assert stays.run("total", "things_total") == "3.0"
        assert list(own.glob(f"*_{identity}.db")) == []
        assert stays.run("total", "things_total") == "3.0"


def test_a_broken_file_hides_nobody_else(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as stays:
        stays.run("count", "a", 3)
        (host_directory(tmp_path) / "counter_1-1.db").write_bytes(b"")
        (host_directory(tmp_path) / "counter_2-1.db").write_bytes(b"\xff" * 64)
        (host_directory(tmp_path) / "retired.json").write_bytes(b"{")

        assert stays.run("total", "things_total") == "3.0"


def test_a_name_is_the_lowest_that_is_free(processes: list[CountingProcess], tmp_path: Path) -> None:
    one, two = processes

    assert [one.run("enter", "ws"), two.run("enter", "ws")] == ["ws-1", "ws-2"]
    assert one.run("members") == "ws-1,ws-2"
    one.kill()
    with CountingProcess(tmp_path) as three:
        assert three.run("enter", "ws") == "ws-1"
        assert two.run("members") == "ws-1,ws-2"


def test_a_frozen_process_holds_nobody_up(processes: list[CountingProcess]) -> None:
    one, two = processes
    one.run("count", "a", 2)
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        assert two.run("total", "things_total") == "2.0"
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
