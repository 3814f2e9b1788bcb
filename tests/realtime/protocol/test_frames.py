"""What a client may say, and how names are made."""

import uuid

import pytest
from channels.layers import BaseChannelLayer

from realtime.hub import rooms
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
def test_a_bad_frame_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(frames.InvalidFrame) as refused:
        frames.decode(text, None)

    assert str(refused.value).endswith((".", 'type".', "characters."))


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(frames.InvalidFrame, match="binary"):
        frames.decode(None, b"{}")


def test_the_longest_group_name_is_legal() -> None:
    group = rooms.shipment_group(uuid.UUID(int=2**128 - 1), "X" * 64)

    assert BaseChannelLayer().require_valid_group_name(group)


ID = "01a20a6a-7a84-7555-a223-22f9160039db"


@pytest.mark.parametrize(
    ("frame", "room"),
    [
        ({"shipmentId": "SHIP-1"}, ("shipment", "SHIP-1")),
        ({"room": "shipment:SHIP-1"}, ("shipment", "SHIP-1")),
        ({"room": "shipments:all"}, ("feed", "all")),
        ({"room": f"driver:{ID}"}, ("driver", ID)),
        ({"room": f"export:{ID.upper()}"}, ("export", ID.upper())),
        ({"room": f"import:{ID}"}, ("import", ID)),
        ({"room": "shipments:SHIP-1"}, None),
        ({"room": "shipment:*"}, None),
        ({"room": "shipment:" + "x" * 65}, None),
        ({"room": "driver:1"}, None),
        ({"room": f"driver:{{{ID}}}"}, None),
        ({"room": 7}, None),
        ({"shipmentId": 7}, None),
        ({"shipmentId": "a b"}, None),
        ({}, None),
    ],
)
def test_a_room_is_named_by_its_kind_and_a_key_that_can_be(
    frame: dict[str, object], room: tuple[str, str] | None
) -> None:
    assert rooms.parse_room(frame) == room


def test_an_answer_echoes_the_clients_id_and_nothing_where_there_is_none() -> None:
    assert b'"id":7' in frames.room_left(room="r", reason="left", echo=7)
    assert b'"id"' not in frames.room_left(room="r", reason="left")
