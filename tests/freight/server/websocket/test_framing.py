"""The header of a frame (RFC 6455, section 5.2)."""

import pytest

from freight.server.websocket import framing
from tests.freight.server.server_process import parse_frames


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_the_length_is_written_in_the_shortest_way(length: int, header: bytes) -> None:
    encoded = framing.encode_frame(b"x" * length)

    assert encoded == header + b"x" * length
    assert parse_frames(encoded) == [(1, b"x" * length)]


def test_a_binary_frame_says_so() -> None:
    assert framing.encode_frame(b"x", binary=True) == b"\x82\x01x"
