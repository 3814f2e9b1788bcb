"""The other end of the fan-out bench, in a process of its own: many sockets, counted by epoll.

It opens its sockets, says `{"ready": n, "seconds": s}`, and then for each line `{"expect": k}` on its standard
input counts deliveries until k have come, and answers with the times of receipt: median, 95th, 99th, last.
"""

import base64
import itertools
import json
import os
import re
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass

DEADLINE_SECONDS = 120.0
HEAD = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{more}\r\n"
)


@dataclass(frozen=True)
class Target:
    """How a server is entered, and how a delivery of it is told from the rest."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    mark: str  # stands once in every frame that counts
    says: list[str]  # sent after the handshake; {room} is the socket's room
    hears: list[str]  # waited for, one after each of `says` (or the handshake)
    rooms: int
    sockets: int
    at_once: int = 64  # on their way in at a time
    first_room: int = 0


def text_frame(text: str) -> bytes:
    """This will return a client's frame; its mask is zero, which is a mask like any other."""
    payload = text.encode()
    size = len(payload)
    head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    return head + b"\0\0\0\0" + payload


class Opening:
    """One socket on its way into its room."""

    def __init__(self, target: Target, number: int, *, receive_buffer: int = 0) -> None:
        self.line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line.setblocking(False)
        self.line.connect_ex((target.host, target.port))
        key = base64.b64encode(os.urandom(16)).decode()
        more = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
        head = HEAD.format(path=target.path, host=f"{target.host}:{target.port}", key=key, more=more)
        said = [text.replace("{room}", str(target.first_room + number % target.rooms)) for text in target.says]
        self._steps = deque([(head.encode(), b"101 ")])
        self._steps += [
            (text_frame(text) if text else b"", heard.encode())
            for text, heard in zip(said, target.hears, strict=True)
        ]
        self._heard = b""
        self._number = number
        self._begun = False

    def go_on(self) -> bool:
        """This will do what can be done now, and say whether the socket is in its room."""
        if not self._begun:
            self._begun = True  # writable: the connection stands
            self._say()
            return False
        try:
            chunk = self.line.recv(65536)
        except BlockingIOError:
            return False
        if not chunk:
            raise SystemExit(f"socket {self._number} was closed: {self._heard[-300:]!r}")
        self._heard += chunk
        while self._steps and self._steps[0][1] in self._heard:
            self._heard = self._heard.split(self._steps.popleft()[1], 1)[1]
            self._say()
        return not self._steps

    def _say(self) -> None:
        if self._steps and self._steps[0][0]:
            self.line.send(self._steps[0][0])


def open_all(target: Target) -> dict[int, socket.socket]:
    """This will return the sockets by their numbers, opened with a steady crowd on its way in."""
    poll, under_way, opened = select.epoll(), dict[int, Opening](), dict[int, socket.socket]()
    numbers = iter(range(target.sockets))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(opened) < target.sockets:
        for number in itertools.islice(numbers, target.at_once - len(under_way)):
            each = Opening(target, number)
            under_way[each.line.fileno()] = each
            poll.register(each.line.fileno(), select.EPOLLOUT)
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(opened)} of {target.sockets} sockets were opened")
        for fd, _ in poll.poll(1):
            poll.modify(fd, select.EPOLLIN)
            if under_way[fd].go_on():
                poll.unregister(fd)
                opened[fd] = under_way.pop(fd).line
    return opened


class Company:
    """Sockets in their rooms: what they hear is counted, and pings are answered, also while nothing is counted."""

    def __init__(self, lines: dict[int, socket.socket], mark: bytes) -> None:
        self._lines = lines
        self._mark = mark
        assert len(mark) <= _BEFORE
        self._tails = dict.fromkeys(lines, b"")
        self._times: list[tuple[float, int]] = []
        self._buffer = bytearray(_BEFORE + 262144)
        self._free = memoryview(self._buffer)[_BEFORE:]
        self._seen = 0
        self.poll = select.epoll()
        for fd in lines:
            self.poll.register(fd, select.EPOLLIN)

    def count(self, expect: int) -> dict[str, float]:
        """This will read until so many marks came, and return when the median, 95th, 99th and last came."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._seen < expect:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self._seen} of {expect} came")
            for fd, _ in self.poll.poll(1):
                self.hear(fd)
        seen, times = self._seen, self._times
        self._seen, self._times = 0, []
        return {"count": seen} | {name: _at(times, seen * share) for name, share in SHARES.items()}

    def hear(self, fd: int) -> None:
        """This will take what one socket has to read, behind what it may have left of a mark."""
        buffer, tail = self._buffer, self._tails[fd]
        try:
            end = _BEFORE + self._lines[fd].recv_into(self._free)
        except BlockingIOError:
            return  # read meanwhile, by a count that began in the same turn
        if end == _BEFORE:
            raise SystemExit("a socket was closed")
        start = _BEFORE - len(tail)
        buffer[start:_BEFORE] = tail
        # A text that ends here leaves nothing over.
        self._tails[fd] = b"" if buffer[end - 1] == _BRACE else bytes(buffer[max(start, end - _BEFORE) : end])
        if found := buffer.count(self._mark, start, end):
            self._seen += found
            self._times.append((time.monotonic(), found))
        if buffer.find(_PING_BYTE, _BEFORE, end) >= 0:
            self._answer_pings(fd, bytes(buffer[start:end]))

    def _answer_pings(self, fd: int, text: bytes) -> None:
        for ping in _PING.finditer(text):
            payload = ping[1][1:]
            self._lines[fd].send(bytes((0x8A, 0x80 | len(payload))) + b"\0\0\0\0" + payload)
            self._tails[fd] = b""  # it is answered; what follows begins with a frame of its own


_BEFORE = 16  # bytes of the buffer for what was read before
_BRACE = ord("}")
_PING_BYTE = b"\x89"
# A ping begins what is read, or stands behind a JSON text: in none does the byte follow on a brace.
_PING = re.compile(rb"(?:^|\})\x89(\x00|\x04.{4}|\x0c.{12})", re.DOTALL)
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "last": 1.0}


def _at(times: list[tuple[float, int]], nth: float) -> float:
    seen = 0
    for at, found in times:
        seen += found
        if seen >= nth:
            return at
    return times[-1][0]


def main() -> None:
    """This will open the sockets and serve the counts."""
    target = Target(**json.loads(sys.argv[1]))
    started = time.monotonic()
    company = Company(open_all(target), target.mark.encode())
    print(json.dumps({"ready": target.sockets, "seconds": time.monotonic() - started}), flush=True)
    company.poll.register(sys.stdin.fileno(), select.EPOLLIN)
    while True:
        for fd, _ in company.poll.poll():
            if fd != sys.stdin.fileno():
                company.hear(fd)
                continue
            asked = os.read(fd, 65536)  # one line, and none before it is answered
            if not asked:
                return
            company.poll.unregister(fd)
            print(json.dumps(company.count(json.loads(asked)["expect"])), flush=True)
            company.poll.register(fd, select.EPOLLIN)


if __name__ == "__main__":
    main()
