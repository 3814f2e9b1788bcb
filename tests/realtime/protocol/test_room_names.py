"""Rooms and groups have legal names, and malformed room names are refused."""

import uuid

import pytest
from channels.layers import BaseChannelLayer

from realtime.protocol import room_names

ID = "01a20a6a-7a84-7555-a223-22f9160039db"


def test_the_longest_group_name_is_legal() -> None:
    group = room_names.shipment_group(uuid.UUID(int=2**128 - 1), "X" * 64)

    assert BaseChannelLayer().require_valid_group_name(group)


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
def test_a_room_name_is_parsed_into_type_and_key_or_refused(
    frame: dict[str, object], room: tuple[str, str] | None
) -> None:
    assert room_names.parse_room(frame) == room
