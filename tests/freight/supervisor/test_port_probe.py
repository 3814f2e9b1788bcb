"""A program that serves a port and hangs is noticed by the supervisor, ended and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freight.supervisor import supervised_process
from freight.supervisor.child_processes import ChildProcess
from freight.supervisor.port_probe import PortProbe
from freight.supervisor.supervised_process import SupervisedProcess
from freight.supervisor.terminal import Terminal
from tests.drills.harness.environment import free_port
from tests.drills.harness.waiting import comes_true

# Answers every connection with 400, in the main thread.
_SERVER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = server.accept()
    client.recv(64)
    client.sendall(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
    client.close()
"""


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupervisedProcess]:
    monkeypatch.setattr(supervised_process, "_HUNG_SECONDS", 1.0)
    monkeypatch.setattr(supervised_process, "_ABORT_SECONDS", 0.1)
    port, started = free_port(), []

    def start() -> ChildProcess:
        process = subprocess.Popen([sys.executable, "-c", _SERVER, str(port)], start_new_session=True)
        started.append(process)
        return ChildProcess(
            pid=process.pid, log=tmp_path / "log", started_at=time.monotonic(), heartbeat=PortProbe(port)
        )

    watched_process = SupervisedProcess(name="nginx", start=start, child=start())
    yield watched_process
    for process in started:
        process.kill()
    assert watched_process.child.heartbeat is not None
    watched_process.child.heartbeat.close()
    for process in started:
        process.wait()


def test_a_silent_port_has_an_age_and_a_refusing_or_answering_one_has_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = PortProbe(server.getsockname()[1])
        assert comes_true(5, lambda: (probe.age() or 0) > 0.3)

        client, _ = server.accept()
        assert client.recv(64) == b"GET / HTTP/1.1\r\n\r\n"
        client.close()
        assert comes_true(5, lambda: probe.age() == 0)
        probe.close()

    refused = PortProbe(free_port())
    assert [refused.age() for _ in range(3)] == [0, 0, 0]
    refused.close()


def test_one_that_is_stopped_is_ended_and_started_again(
    watched: SupervisedProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal, first = Terminal(), watched.child.pid

    def is_another_one() -> bool:
        watched.restart_if_ended(terminal)
        watched.kill_if_hung(terminal)
        return watched.child.pid != first

    assert not comes_true(2, is_another_one)
    os.kill(first, signal.SIGSTOP)

    assert comes_true(20, is_another_one)
    assert "nginx hangs, silent for" in capsys.readouterr().out
