"""Client frames are decoded or refused, and answers echo their id."""

import pytest

from realtime.protocol import frames

BAD = [
    "",
    "nonsense",
    "[]",
    '"x"',
    "{}",
    '{"type":1}',
    '{"type":"ping","id":true}',
    '{"type":"ping","id":[]}',
    '{"type":"ping","id":"' + "x" * 65 + '"}',
    '{"type":"ping","t":NaN}',
    "x" * 20_000,
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30] or "empty")
def test_a_bad_frame_is_refused_with_a_message(text: str) -> None:
    with pytest.raises(frames.InvalidFrame) as refused:
        frames.decode(text, None)

    assert str(refused.value).endswith((".", 'type".', "characters."))


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(frames.InvalidFrame, match="binary"):
        frames.decode(None, b"{}")


def test_an_answer_echoes_the_clients_id_where_there_is_one() -> None:
    assert b'"id":7' in frames.room_left(room="r", reason="left", echo=7)
    assert b'"id"' not in frames.room_left(room="r", reason="left")
