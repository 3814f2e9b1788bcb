"""Parsers of request bodies: JSON everywhere, and forms for phone trackers."""

from collections.abc import Mapping
from typing import IO, Any

from django.http import QueryDict
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from shipments.parsing import strict_json
from shipments.parsing.strict_json import InvalidJson, JsonTooLarge


class StrictJSONParser(BaseParser):
    """Parses one JSON object by `strict_json`, of at most `max_bytes` (1 MiB unless a subclass takes more)."""

    media_type = "application/json"
    max_bytes = strict_json.MAX_BYTES
    numbers_may_be_null = False

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the object; raises InvalidJson, JsonTooLarge, UnsupportedMediaType."""
        headers = (parser_context or {})["request"].headers
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise UnsupportedMediaType(
                media_type or "", detail=f"Bodies in {encoding[:32]} are not taken; send it plain."
            )
        if int(headers.get("Content-Length") or 0) > self.max_bytes:
            raise JsonTooLarge("too_large", f"The body is larger than {self.max_bytes:,} bytes.")
        value = strict_json.loads(
            stream.read(self.max_bytes + 1),
            max_bytes=self.max_bytes,
            numbers_may_be_null=self.numbers_may_be_null,
        )
        if not isinstance(value, dict):
            raise InvalidJson("not_an_object", "The body must be a JSON object.")
        return value


class TrackerJSONParser(StrictJSONParser):
    """Parses the JSON of phone trackers, some of which send NaN for what they do not know."""

    numbers_may_be_null = True


class SmallFormParser(BaseParser):
    """Parses a form of at most 1 MiB."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> QueryDict:
        """Return the fields; raises JsonTooLarge, and SuspiciousOperation for too many fields."""
        body = stream.read(strict_json.MAX_BYTES + 1)
        if len(body) > strict_json.MAX_BYTES:
            raise JsonTooLarge("too_large", f"The body is larger than {strict_json.MAX_BYTES:,} bytes.")
        return QueryDict(body, encoding="utf-8")
