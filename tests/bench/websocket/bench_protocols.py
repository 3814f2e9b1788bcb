"""The server alone, of several checkouts by turns: what a connect, an idle socket, a delivery and a message cost.

`python -m tests.bench.websocket.bench_protocols before=/path/to/checkout after=.` compares checkouts by the
applications of tests/freight/server/asgi_applications.py; without arguments it measures this checkout. All figures
but memory are rates per second of the server's CPU, so that other load on the machine matters little; they are the
medians of the turns.
"""

import argparse
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.drills.harness.environment import ROOT, free_port
from tests.freight.server.server_process import UPGRADE, client_frame

AT_ONCE = 50
CROWD = 500
TALKERS = 200
MESSAGE = client_frame(b'{"type":"ping","id":1234567,"t":1722855000}')
PIPELINED = 8


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Print one JSON line: the figures of each checkout and those of the others as ratios of the first."""
    parser = argparse.ArgumentParser(prog="bench_protocols", description=__doc__)
    parser.add_argument("checkouts", nargs="*", default=["here=."], help="name=folder")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short turn: to see that it works")
    options = parser.parse_args(arguments)
    pairs = [each.partition("=") for each in options.checkouts]
    folders = {name: (ROOT / folder).resolve() for name, _, folder in pairs}
    scale = 10 if options.quick else 1
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in folders}
    for _ in range(1 if options.quick else options.turns):
        for name, folder in folders.items():
            turns[name].append(Server(folder).measure(scale))
    figures = {
        name: {key: round(statistics.median(turn[key] for turn in taken), 1) for key in taken[0]}
        for name, taken in turns.items()
    }
    first, *others = figures
    ratios = {
        name: {key: round(figures[name][key] / figures[first][key], 2) for key in figures[first]} for name in others
    }
    found = {"bench": "protocols", "figures": figures, "ratios": ratios, "turns": turns}
    print(json.dumps(found))
    return found


class Server:
    """The applications of the tests, served by one checkout."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.freight.server.asgi_applications", str(self._port), "1", "60"],
            cwd=folder,
            env=dict(os.environ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def measure(self, scale: int) -> dict[str, float]:
        """Return the figures of one turn and end the server."""
        try:
            self._wait()
            for path in (b"/echo", b"/crowd"):
                close(self.open(path, AT_ONCE))  # warm
            figures = self._connects(3000 // scale)
            figures["deliveriesPerCpuSecond"] = self._deliveries(400 // scale)
            figures["messagesPerCpuSecond"] = self._messages(30 // scale)
            return figures
        finally:
            self._process.kill()
            self._process.wait(10)

    def _connects(self, number: int) -> dict[str, float]:
        memory, cpu = self._memory(), self._cpu()
        sockets = self.open(b"/echo", number)
        spent = self._cpu() - cpu
        for each in sockets:
            each.sendall(MESSAGE)
        read(sockets, len(MESSAGE) - 4)
        grown = self._memory() - memory  # of sockets that have said something
        close(sockets)
        time.sleep(0.3)
        return {"connectsPerCpuSecond": number / spent, "kbPerSocket": grown / number / 1024}

    def _deliveries(self, frames: int) -> float:
        sockets = self.open(b"/crowd", CROWD)
        cpu = self._cpu()
        sockets[0].sendall(client_frame(json.dumps({"frames": frames, "together": 1}).encode()))
        size = len(b'{"n":"00000000","x":""}') + 1000 + 4
        read(sockets, frames * size)
        spent = self._cpu() - cpu
        close(sockets)
        return frames * CROWD / spent

    def _messages(self, rounds: int) -> float:
        sockets = self.open(b"/echo", TALKERS)
        cpu = self._cpu()
        for _ in range(rounds):
            for each in sockets:
                each.sendall(MESSAGE * PIPELINED)
            read(sockets, PIPELINED * (len(MESSAGE) - 4))
        spent = self._cpu() - cpu
        close(sockets)
        return rounds * PIPELINED * TALKERS / spent

    def open(self, path: bytes, number: int) -> list[socket.socket]:
        """Return open WebSockets, of which fifty at a time were on their way."""
        opened: list[socket.socket] = []
        while len(opened) < number:
            together = min(AT_ONCE, number - len(opened))
            fresh = [socket.create_connection(("127.0.0.1", self._port)) for _ in range(together)]
            for each in fresh:
                each.sendall(UPGRADE % path)
            for each in fresh:
                answer = b""
                while not answer.endswith(b"\r\n\r\n"):
                    answer += each.recv(4096)
                assert answer.startswith(b"HTTP/1.1 101"), answer
            opened += fresh
        return opened

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                close([socket.create_connection(("127.0.0.1", self._port))])
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the server did not start")

    def _cpu(self) -> float:
        # The first number of schedstat: nanoseconds on a CPU; cpu_times() counts in hundredths of a second.
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def _memory(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)


def read(sockets: Sequence[socket.socket], expect: int) -> None:
    """Read so many bytes, at least, from each of the sockets."""
    poll, left = select.epoll(), {each.fileno(): expect for each in sockets}
    lines = {each.fileno(): each for each in sockets}
    for fd in lines:
        poll.register(fd, select.EPOLLIN)
    while left:
        for fd, _ in poll.poll(10):
            left[fd] -= len(lines[fd].recv(1 << 18))
            if left[fd] <= 0:
                poll.unregister(fd)
                del left[fd]
    poll.close()


def close(sockets: Sequence[socket.socket]) -> None:
    """Close without a closing handshake."""
    for each in sockets:
        each.close()


if __name__ == "__main__":
    main()
