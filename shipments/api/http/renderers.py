"""The only renderer of the API: JSON by orjson."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer


class JSONRenderer(BaseRenderer):
    """Renders UTF-8 JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body as bytes, empty for None."""
        return b"" if data is None else encode(data)


def encode(value: Any) -> bytes:
    """Return the value as JSON; types that JSON lacks (UUIDs, lazy texts) become strings.

    Bytes are JSON already, from the cache, and returned unchanged.
    """
    if isinstance(value, bytes):
        return value
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        # orjson refuses a lone surrogate (a malformed path in `instance`); json escapes it.
        return json.dumps(value, default=str).encode()
