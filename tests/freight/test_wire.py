"""The header of a frame (RFC 6455, section 5.2)."""

import pytest

from freight.hardened import wire
from tests.freight.served import frames


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
    framed = wire.frame(b"x" * length)

    assert framed == header + b"x" * length
    assert frames(framed) == [(1, b"x" * length)]


def test_a_binary_frame_says_so() -> None:
    assert wire.frame(b"x", binary=True) == b"\x82\x01x"
