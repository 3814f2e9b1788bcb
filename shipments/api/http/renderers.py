"""The one renderer: orjson, whatever the answer holds."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer


class JSONRenderer(BaseRenderer):
    """Writes UTF-8 JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the bytes of the answer, none for an answer without a body."""
        return b"" if data is None else encode(data)


def encode(value: Any) -> bytes:
    """Write JSON; what has no JSON form of its own (ids, lazy texts) is written as its text.

    Bytes are JSON already: what the cache has kept.
    """
    if isinstance(value, bytes):
        return value
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        # Half a character in a path that is named back to its sender: the escape is still JSON.
        return json.dumps(value, default=str).encode()
