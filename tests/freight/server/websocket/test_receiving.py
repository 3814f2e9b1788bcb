"""What a client may send to a socket: it is held back by who takes it, and refused where it has no end."""

import socket
import struct
import time

import httpx
import pytest

from tests.drills.harness.waiting import comes_true
from tests.freight.server.server_process import (
    ServerProcess,
    client_frame,
    parse_frames,
    read_all,
    receive,
)

pytestmark = pytest.mark.journey

MIB = 1024 * 1024
KIB = 1024


def close_code(client: socket.socket) -> int:
    opcode, payload = parse_frames(read_all(client))[-1]
    client.close()
    assert opcode == 8
    return int(struct.unpack("!H", payload[:2])[0])


def test_a_client_that_sends_faster_than_it_is_heard_is_held_back_and_nothing_is_lost(
    server_process: ServerProcess,
) -> None:
    client = server_process.upgrade(b"/busy")
    resting = server_process.rss
    message = client_frame(b"x" * 15 * KIB)
    client.setblocking(False)
    sent, rest, quiet_since = 0, b"", time.monotonic()
    while sent < 4000 and time.monotonic() - quiet_since < 1:
        rest = rest or message
        try:
            rest = rest[client.send(rest) :]
            sent += not rest
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    grown = server_process.rss - resting

    client.settimeout(60)
    httpx.get(f"{server_process.url}/go")
    client.sendall(rest + client_frame(b"last"))
    received = b""
    while not parse_frames(received):
        received += receive(client, 4096)
    client.close()

    # The kernel's buffers on both sides are full, the process holds little; then all of it is heard.
    assert sent < 4000
    assert grown < 3 * MIB
    assert int(parse_frames(received)[0][1]) == sent + bool(rest)


def test_a_message_too_large_closes_with_1009(server_process: ServerProcess) -> None:
    client = server_process.upgrade(b"/echo")
    client.sendall(client_frame(b"x" * (64 * KIB + 1))[:100])

    assert close_code(client) == 1009


def test_endless_fragments_close_with_1009(server_process: ServerProcess) -> None:
    for piece in (b"x" * 1000, b""):
        client = server_process.upgrade(b"/echo")
        client.sendall(client_frame(piece, final=False) + client_frame(piece, opcode=0, final=False) * 1500)

        assert close_code(client) == 1009


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\x81\x80\0\0\0\0\xff"[:6].replace(b"\x80", b"\x01") + b"x", 1002),  # not masked
        (client_frame(b"x", opcode=3), 1002),
        (client_frame(b"\xff\xfe"), 1007),
        (client_frame(b"x", opcode=0), 1002),
        (client_frame(b"x" * 126, opcode=9), 1002),
    ],
    ids=["unmasked", "unknown opcode", "not UTF-8", "continues nothing", "long ping"],
)
def test_what_breaks_the_protocol_closes_with_its_code(
    server_process: ServerProcess, bad: bytes, code: int
) -> None:
    client = server_process.upgrade(b"/echo")
    client.sendall(bad + client_frame(b"and on"))

    assert close_code(client) == code


def test_a_ping_is_answered_in_the_order_of_messages(server_process: ServerProcess) -> None:
    client = server_process.upgrade(b"/echo")
    client.sendall(client_frame(b"one"))
    received = b""
    while len(parse_frames(received)) < 1:
        received += receive(client, 4096)
    client.sendall(client_frame(b"are you there", opcode=9))
    while len(parse_frames(received)) < 2:
        received += receive(client, 4096)
    client.close()

    assert parse_frames(received) == [(1, b"one"), (10, b"are you there")]


def test_an_application_is_told_of_a_client_that_went_without_a_word(server_process: ServerProcess) -> None:
    before = server_process.state().get("disconnected", 0)
    client = server_process.upgrade(b"/echo")

    client.close()

    assert comes_true(60, lambda: server_process.state().get("disconnected", 0) == before + 1)
