"""What the OpenAPI document has for every operation: an id, a summary, examples, named and closed bodies."""

import re

import pytest

from tests.shipments.api.openapi.document import DOCUMENT, OPERATIONS, request_schemas

# Bodies of these types can be read; other files have no example.
READABLE = {"application/json", "text/event-stream", "text/csv", "text/plain"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_an_id_and_a_summary(name: str) -> None:
    summary = OPERATIONS[name][2]["summary"]

    assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", name)
    assert 5 <= len(summary) <= 120
    assert not summary.endswith(".")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_examples(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    parameters = operation.get("parameters", ())
    bodies = operation.get("requestBody", {}).get("content", {})
    answers = [
        media
        for status, response in operation["responses"].items()
        for kind, media in response.get("content", {}).items()
        if status < "300" and kind in READABLE
    ]

    assert [each["name"] for each in parameters if each["in"] == "path" and "example" not in each] == []
    assert not bodies or any("example" in media for media in bodies.values())
    assert not answers or any({"example", "examples"} & media.keys() for media in answers)


def test_bodies_have_names() -> None:
    requests = [(name, kind) for name, kind, schema in request_schemas() if schema.get("type") == "object"]
    responses = [
        (name, status)
        for name, (_, _, operation) in OPERATIONS.items()
        for status, response in operation["responses"].items()
        for media in response.get("content", {}).values()
        if media["schema"].get("type") == "object"
    ]

    assert (requests, responses) == ([], [])


def test_request_bodies_are_closed() -> None:
    components = DOCUMENT["components"]["schemas"]
    names = {schema["$ref"].rpartition("/")[2] for _, _, schema in request_schemas() if "$ref" in schema}
    open_bodies = {name for name in names if components[name].get("additionalProperties") is not False}

    assert len(names) >= 20
    assert open_bodies == {"TrackerFormRequest", "TrackerReportRequest"}  # see PHONES


def test_a_bulk_request_is_one_of_its_operations() -> None:
    components = DOCUMENT["components"]["schemas"]
    item = components["BulkItemRequest"]
    names = [each["$ref"].rpartition("/")[2] for each in item["oneOf"]]

    assert item["discriminator"]["propertyName"] == "op"
    assert sorted(item["discriminator"]["mapping"].values()) == sorted(each["$ref"] for each in item["oneOf"])
    assert all(components[name]["additionalProperties"] is False for name in names)
