"""A page of shipments as it is cached: a line of metadata, then a line of JSON for each shipment.

The positions of drivers change far more often than all else. They are no part of the lines, and are put in when the
page is rendered.
"""

import hashlib
from datetime import datetime
from typing import Any

import orjson

from shipments import representation
from shipments.caching import prepared
from shipments.selectors.lists import rendering
from shipments.selectors.lists.rendering import RenderedPage
from shipments.selectors.positions import PositionsByDriver


class CachedPage:
    """A page in its cached form.

    `positions` are those that were read with the rows, None for a page out of the cache: the caller reads them.
    """

    def __init__(self, serialized: bytes, positions: PositionsByDriver | None = None) -> None:
        first, *self._lines = serialized.split(b"\n")
        self._metadata: dict[str, Any] = orjson.loads(first)
        self.positions = positions

    @property
    def drivers(self) -> set[str]:
        """The ids of the drivers whose positions the page may show."""
        shown = zip(self._metadata["drivers"], self._metadata["since"], strict=True)
        return {driver for driver, since in shown if driver and since}

    def render(self, positions: PositionsByDriver) -> RenderedPage:
        """Return the page as JSON with these positions; the ETag is a hash of the body."""
        metadata = self._metadata
        results = [
            prepared.with_position(line, _position(positions.get(driver), since))
            for line, driver, since in zip(self._lines, metadata["drivers"], metadata["since"], strict=True)
        ]
        more = {"match": match} if (match := metadata.get("match")) else {}
        body = rendering.render_results(results, metadata["next"], metadata["previous"], more)
        etag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        return RenderedPage(body, metadata["next"], metadata["previous"], etag)


def _position(row: representation.Row | None, since: str | None) -> representation.Json | None:
    if row is None or since is None:
        return None
    return representation.position(row, "", since=datetime.fromisoformat(since))
