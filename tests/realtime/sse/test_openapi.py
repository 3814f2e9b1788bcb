"""The OpenAPI document describes the event streams, and its examples are valid."""

from typing import Any

import jsonschema
import orjson
import pytest
from drf_spectacular.generators import SchemaGenerator

from shipments.parsing.stream_requests import parse_cursor

PATHS = {"/api/shipments/{reference}/stream", "/api/events/stream"}


@pytest.fixture(scope="module")
def stream_paths() -> dict[str, Any]:
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {path: operations for path, operations in paths.items() if path.endswith("/stream")}


def test_every_stream_is_described_with_its_errors(stream_paths: dict[str, Any]) -> None:
    assert set(stream_paths) == PATHS
    for path_item in stream_paths.values():
        assert set(path_item) == {"get"}
        assert set(path_item["get"]["responses"]) == {"200", "400", "401", "403", "404", "429", "503"}
        assert set(path_item["get"]["responses"]["200"]["content"]) == {"text/event-stream"}
        assert path_item["get"]["security"] == [{"bearer": []}, {"session": []}]


def test_the_examples_are_events_whose_id_is_a_cursor(stream_paths: dict[str, Any]) -> None:
    get = stream_paths["/api/shipments/{reference}/stream"]["get"]
    [cursor] = [each["schema"] for each in get["parameters"] if each["name"] == "Last-Event-ID"]
    examples = get["responses"]["200"]["content"]["text/event-stream"]["examples"]

    events_text = [part for each in examples.values() for part in each["value"].split("\n\n") if part]

    events = [dict(line.split(": ", 1) for line in part.split("\n")) for part in events_text if "data: " in part]
    assert [event["event"] for event in events] == ["snapshot", "shipment:update", "replay"]
    for event in events:
        jsonschema.validate(event["id"], cursor)
        assert parse_cursor(event["id"]).seq == int(event["id"].rpartition(":")[2])
        assert event["id"] == "{epoch}:{seq}".format(**orjson.loads(event["data"]))
