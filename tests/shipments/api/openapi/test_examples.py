"""Every operation has an example that the server accepts, and answers as the example says."""

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import StreamingHttpResponse
from jsonschema import Draft202012Validator

from monitoring.health.endpoints import HealthApplication
from shipments.api.openapi import examples
from tests.exports.export_client import read_whole
from tests.shipments.api.client import Api
from tests.shipments.api.openapi.document import DOCUMENT, OPERATIONS, PHONES, request_schemas
from tests.shipments.api.openapi.example_world import World

pytestmark = pytest.mark.usefixtures("committed")
Json = dict[str, Any]
RECORDING = bool(os.environ.get("RECORD_EXAMPLES"))
# Served by `realtime.sse`, which has its own examples and tests.
STREAMS = {"streamEvents", "streamShipmentEvents"}
JSON = "application/json"
# In answers: what nobody may keep, and what is of the moment.
_SECRETS = re.compile(r'("(?:access|refresh|secret|token|ticket)": ?")([^"]{8})[^"]+"')
_MOMENTS = re.compile(r"(?!2026-03)20\d\d-\d\d-\d\dT[0-9:.]+Z")


@pytest.fixture(scope="module")
def export_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def world(committed: None, settings: Any, export_directory: Path) -> World:
    settings.EXPORT_DIR = export_directory
    HealthApplication(None, dependencies=[], version="0.1.0", environment="test")  # type: ignore[arg-type]  # no request goes through it
    return World()


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - STREAMS))
def test_the_server_answers_the_example_as_it_says(world: World, name: str) -> None:
    path, _, operation = OPERATIONS[name]
    if "{export_id}" in path or "{import_id}" in path:
        world.add_jobs()

    response = send(world, name)

    if RECORDING:
        record(name, response, world)
        return
    assert response.status_code == examples.load()[name]["status"] < 300, response.content
    if isinstance(response, StreamingHttpResponse):
        assert read_whole(response).startswith(examples.load()[name]["response"].split(",")[0].encode())
    elif response.status_code != 204:
        check_answer(operation["responses"][str(response.status_code)]["content"], response)


def send(world: World, name: str) -> Any:
    """Send the example of an operation as it stands in the document."""
    path, method, operation = OPERATIONS[name]
    given: Json = {"path": {}, "query": {}, "header": {}}
    for each in operation.get("parameters", ()):
        if "example" in each:
            given[each["in"]][each["name"]] = each["example"]
    given = world.real(given)
    query = {key: json.dumps(value) if isinstance(value, bool) else value for key, value in given["query"].items()}
    target = path.format(**given["path"]) + (f"?{urlencode(query)}" if query else "")
    headers = {key.replace("-", "_"): value for key, value in given["header"].items()}
    call = getattr(Api(world.caller(name)), method)
    if method in {"get", "delete"}:
        return call(target, **headers)
    bodies = operation.get("requestBody", {}).get("content", {})
    media_type = next((kind for kind, media in bodies.items() if "example" in media), JSON)
    body = world.real(bodies[media_type]["example"] if bodies else {})
    return call(target, body.encode() if isinstance(body, str) else body, content_type=media_type, **headers)


def check_answer(media: Json, response: Any) -> None:
    """Compare an answer with the example, and both with the schema."""
    media_type = response["Content-Type"].partition(";")[0]
    assert media_type in media
    if media_type != JSON:
        return
    validator = Draft202012Validator({**media[JSON]["schema"], "components": DOCUMENT["components"]})
    example = media[JSON].get("example") or next(iter(media[JSON].get("examples", {}).values()))["value"]

    for body in (response.json(), example):
        assert [error.message for error in validator.iter_errors(body)] == []
    # The example has every member but the one of a host that cannot reach Redis.
    assert set(response.json()) - {"partial"} == set(example)


@pytest.mark.parametrize("name", sorted({name for name, kind, _ in request_schemas() if kind == JSON} - PHONES))
def test_the_server_refuses_what_a_closed_body_does_not_have(world: World, name: str) -> None:
    path, method, operation = OPERATIONS[name]
    body = world.real(operation["requestBody"]["content"][JSON]["example"])
    in_path = [each for each in operation.get("parameters", ()) if each["in"] == "path"]
    target = path.format(**world.real({each["name"]: each["example"] for each in in_path}))

    response = getattr(Api(world.caller(name)), method)(target, body | {"surprise": 1}, If_Match="*")

    assert response.status_code == 400
    assert [(each["field"], each["code"]) for each in response.json()["errors"]] == [("surprise", "unknown_field")]


# -- recording --------------------------------------------------------------------------------------------


def record(name: str, response: Any, world: World) -> None:
    """Write the answer into the file of the example."""
    [path] = [each for each in examples.FOLDER.glob("*.json") if name in json.loads(each.read_text())]
    stored = json.loads(path.read_text())
    stored[name]["status"] = response.status_code
    stored[name].pop("response", None)
    media_type = response.get("Content-Type", "").partition(";")[0]
    if isinstance(response, StreamingHttpResponse):
        lines = read_whole(response).decode().splitlines(keepends=True)
        stored[name]["response"] = settled("".join(lines[:2]), world)
    elif media_type == JSON:
        stored[name]["response"] = settled(shortened(response.json()), world)
    elif media_type == "text/plain":
        stored[name]["response"] = response.content.decode()
    path.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")


def settled(answer: Any, world: World) -> Any:
    text = json.dumps(world.written(answer))
    return json.loads(_MOMENTS.sub("2026-03-02T12:00:00Z", _SECRETS.sub(r'\1\2…"', text)))


def shortened(value: Any) -> Any:
    """Return the value with at most two entries in each list."""
    if isinstance(value, list):
        return [shortened(each) for each in value[:2]]
    return {key: shortened(each) for key, each in value.items()} if isinstance(value, dict) else value
