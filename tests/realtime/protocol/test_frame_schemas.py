"""The frame reference agrees with the frames that the server builds."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from realtime.protocol import frames
from realtime.protocol.asyncapi import document
from realtime.protocol.close_codes import CLOSE_MEANINGS, CloseCode
from realtime.protocol.frame_schemas import FRAMES, FRAMES_BY_TYPE

REFERENCE = Path(__file__).parents[3] / "docs" / "asyncapi.json"
EVENT = {
    "id": "01a2", "seq": 3, "type": "amended", "status": "booked", "occurredAt": "2026-03-02T12:00:00Z",
    "recordedAt": "2026-03-02T12:00:00Z", "location": None,
    "actor": {"role": "driver", "id": None, "key": None, "requestId": None},
    "data": {"changes": {}},
}  # fmt: skip
ROOM: dict[str, Any] = {"room": "shipment:SHIP-1", "epoch": "7.00000001", "seq": 3}
POSITION = {"driverId": "01a2", "latitude": 51.9, "longitude": 4.5, "recordedAt": "2026-03-02T12:00:00Z"}
SERVER_FRAMES = [
    frames.welcome(connection_id="c", expires_at=None),
    frames.update(**ROOM, reference="SHIP-1", event=EVENT, shipment={}),
    frames.update(**ROOM, reference=None, event=EVENT, shipment=None),
    frames.joined_with_events(echo=1, **ROOM, events=[EVENT]),
    frames.joined_with_snapshot(echo="x", **ROOM, reason="new", snapshot={}),
    frames.joined_latest(echo=None, room="driver:01a20a6a-7a84-7555-a223-22f9160039db", value=None),
    frames.driver_location(POSITION),
    frames.export_progress({"exportId": "01a2", "state": "running", "done": 1, "total": None}),
    frames.import_progress({"importId": "01a2", "state": "running", "done": 1, "total": 2}),
    frames.room_left(room="shipment:SHIP-1", reason="left", echo=2),
    frames.heartbeat({"shipment:SHIP-1": 3}),
    frames.pong(echo=None, t=5, timestamp="2026-03-02T12:00:00Z"),
    frames.stale(since="2026-03-02T12:00:00Z"),
    frames.error(code="bad_request", message="No.", echo=1, room="x"),
]


@pytest.mark.parametrize("frame", [json.loads(frame) for frame in SERVER_FRAMES], ids=lambda frame: frame["type"])
def test_every_server_frame_is_valid_against_its_schema(frame: dict[str, Any]) -> None:
    jsonschema.validate(frame, FRAMES_BY_TYPE[frame["type"]].schema)


def test_the_reference_in_docs_is_up_to_date() -> None:
    assert json.loads(REFERENCE.read_text()) == document(), (
        "Regenerate it: python manage.py asyncapi > docs/asyncapi.json"
    )


def test_every_ref_within_the_document_resolves() -> None:
    spec = document()

    def refs_in(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [ref for child in node.values() for ref in refs_in(child)]
        return [ref for child in node for ref in refs_in(child)] if isinstance(node, list) else []

    refs = refs_in(spec)
    assert len(refs) == 2 * len(FRAMES) + 2  # each frame twice, the channel twice
    for target in refs:
        node = spec
        for step in target.removeprefix("#/").split("/"):
            node = node[step]


def test_every_close_code_has_a_meaning() -> None:
    assert set(CLOSE_MEANINGS) == set(CloseCode)
