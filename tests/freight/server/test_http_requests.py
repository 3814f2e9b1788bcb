"""HTTP requests that come in bytes: whole all the same, and never at the cost of memory, disk or other clients."""

import contextlib
import socket
import time

import pytest

from freight.server.serve import MAX_BODY_BYTES
from tests.freight.server.server_process import ServerProcess, read_all

pytestmark = pytest.mark.journey

HEAD = b"POST /state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n\r\n"
MIB = 1024 * 1024
CHUNKED = HEAD % b"Transfer-Encoding: chunked"


def exchange(server_process: ServerProcess, data: bytes) -> tuple[bytes, float]:
    """Send bytes, and return all that comes back and the seconds that it took."""
    client = server_process.connect()
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):  # refused before it was read
        client.sendall(data)
    answer = read_all(client)
    client.close()
    return answer, time.monotonic() - began


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_an_ordinary_body_in_one_byte_slices_is_read_whole(server_process: ServerProcess, kind: str) -> None:
    body = b'{"a":1}'
    data = HEAD % b"Content-Length: 7" + body
    if kind == "chunks":
        data = CHUNKED + b"".join(b"1\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"
    client = server_process.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for each in data:
        client.sendall(bytes([each]))
        time.sleep(0.001)  # a read of its own

    assert read_all(client).startswith(b"HTTP/1.1 200 OK")
    client.close()


def test_a_body_larger_than_any_view_accepts_is_refused_unread(server_process: ServerProcess) -> None:
    announced, _ = exchange(server_process, HEAD % (b"Content-Length: %d" % (MAX_BODY_BYTES + 1)))
    grown, _ = exchange(server_process, CHUNKED + (b"%x\r\n%b\r\n" % (MIB, bytes(MIB))) * 12)
    within, _ = exchange(server_process, HEAD % (b"Content-Length: %d" % MIB) + bytes(MIB))

    assert announced.startswith(b"HTTP/1.1 413 ")
    # What was not read resets the connection, and may take the answer with it.
    assert grown.startswith(b"HTTP/1.1 413 ") or grown == b""
    assert within.startswith(b"HTTP/1.1 200 OK")


NOTHING = {
    "tiny chunks": CHUNKED + b"1\r\nx\r\n" * 200_000,
    "chunk extension": CHUNKED + b"1;" + b"x" * MIB,
    "trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 200_000,
    "headers": b"GET /state HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200_000,
    "header line": b"GET /state HTTP/1.1\r\nX: " + b"y" * MIB,
    "request line": b"GET /" + b"y" * MIB,
    "empty lines": b"\r\n" * 200_000,
}


@pytest.mark.parametrize("data", NOTHING.values(), ids=NOTHING)
def test_what_carries_nothing_and_never_ends_is_refused_at_once(server_process: ServerProcess, data: bytes) -> None:
    resting = server_process.rss

    answer, seconds = exchange(server_process, data)

    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""
    assert seconds < 5
    assert server_process.rss - resting < 8 * MIB
    assert exchange(server_process, HEAD % b"Content-Length: 0")[0].startswith(b"HTTP/1.1 200 OK")
