"""What the OpenAPI document gets after drf-spectacular has made it: names, closed bodies, summaries, examples."""

import re
from typing import Any, Final

from shipments.api.openapi import examples

Json = dict[str, Any]
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_SCHEMAS: Final = "#/components/schemas/"
# Path parameters by name; an operation's own example may have others.
_PATH_EXAMPLES: Final[Json] = {
    "reference": "SHIP-000001",
    "driver_id": "01a22fd8-0000-7000-8000-000000000001",
    "customer_id": "01a22fd8-0000-7000-8000-000000000002",
    "checkpoint_id": "01a22fd8-0000-7000-8000-000000000003",
    "link_id": "01a22fd8-0000-7000-8000-000000000004",
    "device_key_id": "01a22fd8-0000-7000-8000-000000000005",
    "key_id": "01a22fd8-0000-7000-8000-000000000006",
    "export_id": "01a22fd8-0000-7000-8000-000000000007",
    "import_id": "01a22fd8-0000-7000-8000-000000000008",
    "seq": 2,
    "flag": "delayed",
    "kind": "label",
    "extension": "csv",
    "code": "stale_version",
}


def complete(result: Json, **_: object) -> Json:
    """Complete drf-spectacular's document; a postprocessing hook (`POSTPROCESSING_HOOKS`)."""
    components = result["components"]["schemas"]
    components = _with_constants(components)
    result["paths"] = _with_named_schemas(result["paths"], components)
    for operations in result["paths"].values():
        for method, operation in operations.items():
            if method in _METHODS:
                operation.setdefault("summary", _summary(operation["description"]))
                _close_bodies(operation, components)
                _add_examples(operation)
    result["components"]["schemas"] = _definitions_before_uses(components)
    return result


def _definitions_before_uses(components: Json) -> Json:
    """Return the schemas so that none refers to a later one: some generators write them down as they come."""
    ordered: Json = {}

    def add(name: str) -> None:
        if name not in ordered and name not in pending:
            pending.add(name)
            for other in re.findall(re.escape(_SCHEMAS) + r"(\w+)", str(components[name])):
                add(other)
            ordered[name] = components[name]

    pending: set[str] = set()
    for name in sorted(components):
        add(name)
    return ordered


def _with_named_schemas(node: Any, components: Json) -> Any:
    """Return the node with a reference in place of each object schema that has a title, which becomes its name."""
    if isinstance(node, list):
        return [_with_named_schemas(each, components) for each in node]
    if not isinstance(node, dict):
        return node
    copied = {key: _with_named_schemas(value, components) for key, value in node.items()}
    name = copied.get("title")
    if not isinstance(name, str) or "type" not in copied:
        return copied
    del copied["title"]
    if components.setdefault(name, copied) != copied:
        raise ValueError(f"Two schemas have the title {name}.")
    return {"$ref": _SCHEMAS + name}


def _with_constants(components: Json) -> Json:
    """Return the schemas with a constant in place of each reference to an enumeration of one value.

    The values of a discriminator must be readable where the property stands.
    """
    constants = {
        _SCHEMAS + name: {"type": "string", "const": schema["enum"][0]}
        for name, schema in components.items()
        if name.endswith(("OpEnum", "BlankEnum")) and len(schema.get("enum", ())) == 1
    }

    def replaced(node: Any) -> Any:
        if isinstance(node, list):
            return [replaced(each) for each in node]
        if not isinstance(node, dict):
            return node
        return constants.get(str(node.get("$ref"))) or {key: replaced(value) for key, value in node.items()}

    return {name: replaced(schema) for name, schema in components.items() if _SCHEMAS + name not in constants}


def _summary(description: str) -> str:
    """Return the first sentence, up to a colon or semicolon in it."""
    return re.split(r"(?<=[^.])\.(?:\s|$)|[:;]\s", " ".join(description.split()), maxsplit=1)[0]


def _close_bodies(operation: Json, components: Json) -> None:
    """Say that the objects of a JSON body take no other members: strict serializers refuse them."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        pending = [media["schema"]]
        while pending:
            schema = pending.pop()
            if "$ref" in schema:
                schema = components[schema["$ref"].removeprefix(_SCHEMAS)]
            if "properties" in schema and schema.setdefault("additionalProperties", False):
                continue  # open on purpose, with all that it holds
            pending += [
                *schema.get("oneOf", ()),
                *schema.get("properties", {}).values(),
                *([schema["items"]] if "items" in schema else []),
            ]


def _add_examples(operation: Json) -> None:
    example = examples.load().get(operation["operationId"], {})
    for parameter in operation.get("parameters", ()):
        values = {"path": _PATH_EXAMPLES | example.get("path", {}), "query": example.get("query", {})}
        values["header"] = example.get("headers", {})
        if (value := values.get(parameter["in"], {}).get(parameter["name"])) is not None:
            parameter["example"] = value
    media_types = operation.get("requestBody", {}).get("content", {})
    for kind, media in media_types.items():
        if "request" in example and kind == example.get("media", "application/json"):
            media["example"] = example["request"]
    content = operation["responses"].get(str(example.get("status")), {}).get("content", {})
    for media in content.values():
        if "response" in example and not {"example", "examples"} & media.keys():
            media["example"] = example["response"]
            break
