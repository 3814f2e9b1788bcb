"""What nginx answers because no process did is counted in the requests."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring import gateway_errors, metrics
from monitoring.prometheus.hosts import HostAggregator
from tests.drills.harness.waiting import comes_true


class Leader(HostAggregator):
    """A process that always leads."""

    is_leader = True
    stands_in = False


def counted(method: str, status: str) -> float:
    return next(
        (
            sample.value
            for family in metrics.requests.collect()
            for sample in family.samples
            if sample.name == "http_requests_total"
            and (sample.labels["route"], sample.labels["method"], sample.labels["status"])
            == (gateway_errors.ROUTE, method, status)
        ),
        0.0,
    )


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Yield the path of a socket on which a thread counts."""
    stopped = threading.Event()
    path = tmp_path / "run" / "gateway.sock"
    thread = threading.Thread(target=gateway_errors.listen, args=(path, Leader(), stopped))
    thread.start()
    assert comes_true(10, path.exists)
    yield path
    stopped.set()
    thread.join(10)


def send(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(line, str(path))


def test_lines_of_nginx_are_counted_and_nothing_else(path: Path) -> None:
    before = counted("POST", "504"), counted("OTHER", "502")
    send(path, b"<190>Nov 30 10:00:00 freight: POST 504")
    send(path, b"<190>Nov 30 10:00:00 freight: BREW 502\n")
    for line in (b"", b"\xff\x00", b"freight: GET 9999", b"freight: GET 504 x", b"x" * 4000):
        send(path, line)
    send(path, b"<190>Nov 30 10:00:00 freight: POST 504")

    assert comes_true(10, lambda: counted("POST", "504") == before[0] + 2)
    assert counted("OTHER", "502") == before[1] + 1


def test_a_socket_that_was_removed_is_made_again(path: Path) -> None:
    before = counted("GET", "502")
    path.unlink()
    assert comes_true(20, path.exists)
    send(path, b"freight: GET 502")

    assert comes_true(10, lambda: counted("GET", "502") == before + 1)
