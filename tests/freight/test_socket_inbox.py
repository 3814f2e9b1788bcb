"""What a client may send to a socket: it is held back by who takes it, and refused where it has no end."""

import socket
import struct
import time

import httpx
import pytest

from tests.freight.served import Served, frames, heard, masked, read_all, within

pytestmark = pytest.mark.journey

MIB = 1024 * 1024
KIB = 1024


def close_code(client: socket.socket) -> int:
    opcode, payload = frames(read_all(client))[-1]
    client.close()
    assert opcode == 8
    return int(struct.unpack("!H", payload[:2])[0])


def test_a_client_that_sends_faster_than_it_is_heard_is_held_back_and_nothing_is_lost(served: Served) -> None:
    client = served.upgrade(b"/busy")
    resting = served.rss
    message = masked(b"x" * 15 * KIB)
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
    grown = served.rss - resting

    client.settimeout(60)
    httpx.get(f"{served.url}/go")
    client.sendall(rest + masked(b"last"))
    told = b""
    while not frames(told):
        told += heard(client, 4096)
    client.close()

    # The kernel's buffers on both sides are full, the process holds little; then all of it is heard.
    assert sent < 4000
    assert grown < 3 * MIB
    assert int(frames(told)[0][1]) == sent + bool(rest)


def test_a_message_too_large_closes_with_1009(served: Served) -> None:
    client = served.upgrade(b"/echo")
    client.sendall(masked(b"x" * (64 * KIB + 1))[:100])

    assert close_code(client) == 1009


def test_endless_fragments_close_with_1009(served: Served) -> None:
    for piece in (b"x" * 1000, b""):
        client = served.upgrade(b"/echo")
        client.sendall(masked(piece, final=False) + masked(piece, opcode=0, final=False) * 1500)

        assert close_code(client) == 1009


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\x81\x80\0\0\0\0\xff"[:6].replace(b"\x80", b"\x01") + b"x", 1002),  # not masked
        (masked(b"x", opcode=3), 1002),
        (masked(b"\xff\xfe"), 1007),
        (masked(b"x", opcode=0), 1002),
        (masked(b"x" * 126, opcode=9), 1002),
    ],
    ids=["unmasked", "unknown opcode", "not UTF-8", "continues nothing", "long ping"],
)
def test_what_breaks_the_protocol_closes_with_its_code(served: Served, bad: bytes, code: int) -> None:
    client = served.upgrade(b"/echo")
    client.sendall(bad + masked(b"and on"))

    assert close_code(client) == code


def test_a_ping_is_answered_in_the_order_of_messages(served: Served) -> None:
    client = served.upgrade(b"/echo")
    client.sendall(masked(b"one"))
    received = b""
    while len(frames(received)) < 1:
        received += heard(client, 4096)
    client.sendall(masked(b"are you there", opcode=9))
    while len(frames(received)) < 2:
        received += heard(client, 4096)
    client.close()

    assert frames(received) == [(1, b"one"), (10, b"are you there")]


def test_an_application_is_told_of_a_client_that_went_without_a_word(served: Served) -> None:
    before = served.state().get("disconnected", 0)
    client = served.upgrade(b"/echo")

    client.close()

    assert within(60, lambda: served.state().get("disconnected", 0) == before + 1)
