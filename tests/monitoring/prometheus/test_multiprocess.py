"""Metrics of several processes in one folder: added up, gauges only of living processes, nothing counted twice."""

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


def test_every_process_adds_up_the_counts_of_all(processes: list[CountingProcess]) -> None:
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


def test_gauges_are_of_living_processes_and_counts_outlive_their_process(processes: list[CountingProcess]) -> None:
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


def test_the_folder_does_not_grow_with_ended_processes(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as living:
        living.run("total", "things_total")
        files = len(list(host_directory(tmp_path).glob("*.db")))
        for number in range(3):
            with CountingProcess(tmp_path) as ended:
                ended.run("register", "ws")
                ended.run("count", "a", 1)
            assert living.run("total", "things_total") == f"{number + 1}.0"

        assert len(list(host_directory(tmp_path).glob("*.db"))) == files
        living.run("crashes")
        assert list(host_directory(tmp_path).glob("*.process")) == []


def test_a_kill_while_retiring_counts_nothing_twice(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as living:
        with CountingProcess(tmp_path) as ended:
            ended.run("count", "a", 3)
            identity = ended.run("identity")
        directory = host_directory(tmp_path)
        remaining = {path: path.read_bytes() for path in directory.glob(f"*_{identity}.db")}
        assert living.run("total", "things_total") == "3.0"

        for path, content in remaining.items():
            path.write_bytes(content)  # as after a kill before they were removed

        assert orjson.loads((directory / "retired.json").read_bytes())["holds"] == [identity]
        assert living.run("total", "things_total") == "3.0"
        assert list(directory.glob(f"*_{identity}.db")) == []
        assert living.run("total", "things_total") == "3.0"


def test_a_corrupt_file_does_not_hide_other_metrics(tmp_path: Path) -> None:
    with CountingProcess(tmp_path) as living:
        living.run("count", "a", 3)
        (host_directory(tmp_path) / "counter_1-1.db").write_bytes(b"")
        (host_directory(tmp_path) / "counter_2-1.db").write_bytes(b"\xff" * 64)
        (host_directory(tmp_path) / "retired.json").write_bytes(b"{")

        assert living.run("total", "things_total") == "3.0"


def test_a_process_gets_the_lowest_free_name(processes: list[CountingProcess], tmp_path: Path) -> None:
    one, two = processes

    assert [one.run("register", "ws"), two.run("register", "ws")] == ["ws-1", "ws-2"]
    assert one.run("processes") == "ws-1,ws-2"
    one.kill()
    with CountingProcess(tmp_path) as three:
        assert three.run("register", "ws") == "ws-1"
        assert two.run("processes") == "ws-1,ws-2"


def test_a_frozen_process_does_not_block_the_others(processes: list[CountingProcess]) -> None:
    one, two = processes
    one.run("count", "a", 2)
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        assert two.run("total", "things_total") == "2.0"
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
